"""How the token endpoint says no."""


class OAuthError(Exception):
    """An error answer of RFC 6749 section 5.2 or RFC 8707."""

    def __init__(self, error: str, description: str, *, is_basic: bool = False) -> None:
        super().__init__(description)
        self.error = error
        self.description = description
        self.status = 401 if error == "invalid_client" else 400
        self.headers = {"WWW-Authenticate": 'Basic realm="demo idp"'} if is_basic else {}
