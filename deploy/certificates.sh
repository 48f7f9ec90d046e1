#!/bin/sh
# Make a certificate authority and one certificate for each part: internal mTLS without cert-manager.
# Usage: certificates.sh FOLDER [DAYS]. A second run renews the certificates and keeps the authority.
set -eu
folder=$1
days=${2:-365}
umask 077
mkdir -p "$folder"
cd "$folder"
key() { openssl ecparam -name prime256v1 -genkey -noout -out "$1"; }
if [ ! -e ca.key ]; then
    key ca.key
    openssl req -x509 -new -key ca.key -days 3650 -subj "/CN=imagegateway internal CA" -out ca.crt \
        -addext "keyUsage=critical,keyCertSign,cRLSign"
fi
for role in router providers media envoy; do
    mkdir -p "$role"
    key "$role/tls.key.new"
    openssl req -new -key "$role/tls.key.new" -subj "/CN=$role" |
        openssl x509 -req -CA ca.crt -CAkey ca.key -CAcreateserial -days "$days" -out "$role/tls.crt.new" -extfile /dev/fd/3 2> /dev/null 3<< END
subjectAltName=DNS:$role
extendedKeyUsage=serverAuth,clientAuth
keyUsage=critical,digitalSignature
basicConstraints=critical,CA:FALSE
END
    cp ca.crt "$role/ca.crt"
    mv "$role/tls.key.new" "$role/tls.key"
    mv "$role/tls.crt.new" "$role/tls.crt"
done
