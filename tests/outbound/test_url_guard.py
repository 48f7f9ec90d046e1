"""URL guard with a fake name service."""

from __future__ import annotations

import socket

import pytest
from imagegateway.outbound.url_guard import MAX_URL, Target, UrlGuard, UrlRefusedError, is_public

PUBLIC = "93.184.216.34"


class FakeNameService:
    """Fake name service that returns its responses in order and counts queries."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, int]] = []

    async def __call__(self, host: str, port: int) -> list[str]:
        self.asked.append((host, port))
        return self.answers.pop(0)


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0",  # noqa: S104
        "10.0.0.1",
        "100.64.0.1",
        "100.100.100.200",
        "127.0.0.1",
        "127.255.255.254",
        "168.63.129.16",
        "169.254.169.254",
        "172.16.0.1",
        "192.0.0.192",
        "192.0.2.1",
        "192.88.99.1",
        "192.168.1.1",
        "198.18.0.1",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "::ffff:0:127.0.0.1",
        "::127.0.0.1",
        "::8.8.8.8",
        "64:ff9b::10.0.0.1",
        "64:ff9b:1::1",
        "100::1",
        "2001::1",
        "2001:db8::1",
        "2002:7f00:1::",
        "2002:a9fe:a9fe::1",
        "3fff::1",
        "4000::1",
        "5f00::1",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "fe80::1%eth0",
        "2600::1%eth0",
        "fec0::1",
        "ff02::1",
        "ff0e::1",
        "not an address",
    ],
)
def test_addresses_inside_are_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        PUBLIC,
        "1.1.1.1",
        "172.32.0.1",
        "2606:4700:4700::1111",
        "2001:4860:4860::8888",
        "::ffff:8.8.8.8",
        "64:ff9b::8.8.8.8",
        "2002:808:808::1",
    ],
)
def test_addresses_of_the_open_internet_are_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.1",
        "127.0.1",
        "2130706433",
        "017700000001",
        "0x7f000001",
        "0177.0.0.1",
        "0x7f.1",
        "0X7F.0x0.0.1",
        "127.0.0.1.",
        "①②⑦.⓪.⓪.①",
        "127。0。0。1",
        "0",
        "169.254.169.254",
        "2852039166",
        "0xa9fea9fe",
        "[::1]",
        "[0:0:0:0:0:0:0:1]",
        "[::ffff:127.0.0.1]",
        "[::FFFF:7F00:1]",
        "[::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:0001::]",
        "[fd00:ec2::254]",
        "localhost",
        "intranet",
    ],
)
async def test_hosts_inside_are_refused_in_every_spelling(host: str) -> None:
    names = FakeNameService()
    with pytest.raises(UrlRefusedError, match="its host has no public address"):
        await UrlGuard([], names).check(f"https://{host}/x.png")
    assert names.asked == []


@pytest.mark.parametrize(
    "url",
    [
        "",
        "/x.png",
        "//a.example/x.png",
        "https:/a.example/",
        "https:a.example",
        "https://",
        "https:///x.png",
        "http://a.example/x.png",
        "ftp://a.example/x.png",
        "file:///etc/passwd",
        "gopher://a.example/",
        "data:image/png;base64,AAAA",
        "https://user@a.example/",
        "https://user:secret@a.example/",
        "https://a.example@127.0.0.1/",
        "https://a.example:/",
        "https://a.example:0/",
        "https://a.example:65536/",
        "https://a.example:4x/",
        "https://a.example:22/",
        "https://a.example:25/",
        "https://a.example:-1/",
        "https://a.example\\@127.0.0.1/",
        "https://a.example/x y",
        " https://a.example/",
        "https://a.example/\r\nhost: b",
        "https://a.example/\x00",
        "https://a.example/\u2028",
        "https://a.example/\ud800",
        "https://127.0.0.1%00.example/",
        "https://%31%32%37.0.0.1/",
        "https://[::1%25lo]/",
        "https://[fe80::1%eth0]/",
        "https://[::1/",
        "https://[v1.x]/",
        "https://::1/",
        "https://a..example/",
        "https://a.example../",
        "https://.a.example/",
        "https://-a.example/",
        "https://a,b.example/",
        "https://1.2.3.4.5/",
        "https://1.2.3.256/",
        "https://08.8.8.8/",
        "https://8.8.8.0x/",
        "https://a.example.1/",
        "https://faß.example/",
        "https://" + "a" * 64 + ".example/",
        "https://" + "a." * 127 + "example/",
        "https://a.example/" + "x" * MAX_URL,
    ],
)
def test_malformed_and_foreign_urls_are_refused(url: str) -> None:
    with pytest.raises(UrlRefusedError):
        UrlGuard([]).parse(url)


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("https://a.example", Target("https://a.example/", "https", "a.example", 443)),
        ("HTTPS://A.Example./x#y", Target("https://a.example/x", "https", "a.example", 443)),
        ("https://a.example?q=1", Target("https://a.example/?q=1", "https", "a.example", 443)),
        ("https://a.example/@b?c@d", Target("https://a.example/@b?c@d", "https", "a.example", 443)),
        ("https://a_b.example:8443/", Target("https://a_b.example:8443/", "https", "a_b.example", 8443)),
        (
            "https://bücher.example/",
            Target("https://xn--bcher-kva.example/", "https", "xn--bcher-kva.example", 443),
        ),
        ("https://134744072/", Target("https://8.8.8.8/", "https", "8.8.8.8", 443)),
        ("https://[2606:4700:0:0::1]/", Target("https://[2606:4700::1]/", "https", "2606:4700::1", 443)),
        (
            "https://a.example/x%2Fy?sig=a%2Bb%3D&z=%7e+",
            Target("https://a.example/x%2Fy?sig=a%2Bb%3D&z=%7e+", "https", "a.example", 443),
        ),
    ],
)
def test_public_urls_pass_normalised(url: str, target: Target) -> None:
    assert UrlGuard([]).parse(url) == target


async def test_allowed_hosts_pass_over_http_wherever_they_are() -> None:
    names = FakeNameService(["10.0.0.7"])
    guard = UrlGuard(["store.internal", "127.0.0.1:9000", "[::1]:9000"], names)
    assert (await guard.check("http://Store.Internal./x")).url == "http://store.internal/x"
    assert names.asked == [("store.internal", 80)]
    for url in ("http://127.0.0.1:9000/", "https://127.1:9000/", "http://[::1]:9000/"):
        await guard.check(url)
    for url in (
        "http://127.0.0.1:9001/",
        "https://127.0.0.1/",
        "http://[::1]/",
        "http://x.store.internal/",
        "http://store.internal.example/",
    ):
        with pytest.raises(UrlRefusedError):
            await guard.check(url)


async def test_port_of_an_entry_is_the_schemes_own_when_the_url_names_none() -> None:
    guard = UrlGuard(["10.0.0.1:443"])
    assert (await guard.check("https://10.0.0.1/")).port == 443
    with pytest.raises(UrlRefusedError):
        await guard.check("http://10.0.0.1/")


@pytest.mark.parametrize(
    "found",
    [
        ["127.0.0.1"],
        ["::1"],
        ["169.254.169.254"],
        [PUBLIC, "10.0.0.1"],
        [PUBLIC, "2606:4700::1", "::ffff:10.0.0.1"],
        ["fe80::1%2"],
    ],
)
async def test_name_with_one_private_address_is_refused(found: list[str]) -> None:
    with pytest.raises(UrlRefusedError) as caught:
        await UrlGuard([], FakeNameService(found)).check("https://a.example/")
    assert caught.value.reason == "its host has no public address"
    assert not caught.value.transient


@pytest.mark.parametrize(
    ("error", "reason", "transient"),
    [
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "its host name does not resolve", False),
        (
            socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution"),
            "its host name could not be resolved just now",
            True,
        ),
        (OSError("no descriptors"), "its host name could not be resolved just now", True),
    ],
)
async def test_name_without_address_is_refused_as_unresolved(error: OSError, reason: str, *, transient: bool) -> None:
    async def resolve(_host: str, _port: int) -> list[str]:
        raise error

    with pytest.raises(UrlRefusedError) as caught:
        await UrlGuard([], resolve).check("https://a.example/")
    assert (caught.value.reason, caught.value.transient) == (reason, transient)


async def test_name_with_an_empty_answer_is_refused_as_unresolved() -> None:
    with pytest.raises(UrlRefusedError, match="its host name does not resolve"):
        await UrlGuard([], FakeNameService([])).check("https://a.example/")


async def test_system_names_that_lead_to_loopback_are_refused() -> None:
    with pytest.raises(UrlRefusedError):
        await UrlGuard([]).addresses("localhost", 443)
    assert set(await UrlGuard(["localhost"]).addresses("localhost", 443)) <= {"127.0.0.1", "::1"}


async def test_check_resolves_once() -> None:
    names = FakeNameService([PUBLIC])
    target = await UrlGuard([], names).check("https://a.example:8443/hook")
    assert (target.host, target.port) == ("a.example", 8443)
    assert names.asked == [("a.example", 8443)]
