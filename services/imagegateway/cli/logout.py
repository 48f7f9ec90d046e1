"""`imagegateway logout`: removal of the login."""

from __future__ import annotations

from cyclopts import App
from imagegateway.cli.login_file import Login

app = App(name="logout")


@app.default
def logout() -> None:
    """Forget the address and the key of the login. The key stays valid."""
    if Login.remove():
        print(f"removed {Login.path()}; the key stays valid until it is revoked")
    else:
        print("there is no login")
