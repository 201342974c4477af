"""Checks a JWT-SVID with PyJWT as a relying party of OpenID Connect would: the issuer's discovery document, its
keys, then signature, issuer, audience and expiry. Exit status 0: accepted.

usage: oidc_verify.py ISSUER CA_FILE AUDIENCE SUBJECT TOKEN_FILE
"""
import json
import pathlib
import ssl
import sys
import urllib.request

import jwt


def main(issuer, ca_file, audience, subject, token_file):
    context = ssl.create_default_context(cafile=ca_file)
    with urllib.request.urlopen(issuer + "/.well-known/openid-configuration", context=context, timeout=10) as answer:
        assert answer.headers["Content-Type"] == "application/json", answer.headers
        discovered = json.load(answer)
    assert discovered["issuer"] == issuer, discovered
    token = pathlib.Path(token_file).read_text(encoding="utf-8").strip()
    key = jwt.PyJWKClient(discovered["jwks_uri"], ssl_context=context).get_signing_key_from_jwt(token)
    claims = jwt.decode(token, key, algorithms=discovered["id_token_signing_alg_values_supported"],
                        audience=audience, issuer=issuer)
    assert claims["sub"] == subject, claims


if __name__ == "__main__":
    main(*sys.argv[1:])
