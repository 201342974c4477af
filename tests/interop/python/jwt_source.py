#!/usr/bin/env python3
"""A workload made of py-spiffe: fetches a JWT-SVID, verifies it here and by the Workload API, prints one JSON line.

usage: jwt_source.py SOCKET AUDIENCE
Exit status: 0 done, 3 no token.
"""
import json
import sys

from spiffe import JwtSource, JwtSvid, WorkloadApiClient
from spiffe.errors import PySpiffeError


def main():
    socket, audience = sys.argv[1:]
    with JwtSource(socket_path=socket) as source, WorkloadApiClient(socket) as client:
        token = source.fetch_svid(audience={audience})
        bundle = source.get_bundle_for_trust_domain(token.spiffe_id.trust_domain)
        verified = JwtSvid.parse_and_validate(token.token, bundle, {audience})
        validated = client.validate_jwt_svid(token.token, audience)
        try:
            client.validate_jwt_svid(token.token, audience + "-other")
            refused = False
        except PySpiffeError:
            refused = True
    print(json.dumps({"spiffe_id": str(verified.spiffe_id), "audience": sorted(verified.audience),
                      "validated_id": str(validated.spiffe_id), "other_audience_refused": refused}))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except PySpiffeError as error:
        print(f"jwt_source: {error}", file=sys.stderr)
        sys.exit(3)
