"""`imagegateway logout`: removal of the login."""

from __future__ import annotations

from cyclopts import App
from imagegateway.cli.login_file import Login
from imagegateway.cli.options import Json
from imagegateway.cli.terminal import print_document

app = App(name="logout")


@app.default
def logout(*, json: Json = False) -> None:
    """Forget the address and the key of the login. The key stays valid."""
    deleted = Login.remove()
    if json:
        print_document({"object": "login", "path": str(Login.path()), "deleted": deleted})
    elif deleted:
        print(f"removed {Login.path()}; the key stays valid until it is revoked")
    else:
        print("there is no login")
