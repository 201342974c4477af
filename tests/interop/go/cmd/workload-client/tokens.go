package main

import (
	"context"
	"fmt"
	"os"

	"github.com/spiffe/go-spiffe/v2/svid/jwtsvid"
	"github.com/spiffe/go-spiffe/v2/workloadapi"
)

// showToken fetches a JWT-SVID for the audience, verifies it with the bundles of a JWTSource, lets
// the Workload API validate it too, and prints what both found.
func showToken(ctx context.Context, socket, audience string) int {
	options := workloadapi.WithClientOptions(workloadapi.WithAddr(socket))
	source, err := workloadapi.NewJWTSource(ctx, options)
	if err != nil {
		fmt.Fprintln(os.Stderr, "workload-client: no JWT source:", err)
		return exitNoIdentity
	}
	defer source.Close()
	svid, err := source.FetchJWTSVID(ctx, jwtsvid.Params{Audience: audience})
	if err != nil {
		fmt.Fprintln(os.Stderr, "workload-client: no token:", err)
		return exitNoIdentity
	}
	verified, err := jwtsvid.ParseAndValidate(svid.Marshal(), source, []string{audience})
	if err != nil {
		printLine(map[string]any{"error": err.Error(), "stage": "verify"})
		return exitRefused
	}
	validated, err := workloadapi.ValidateJWTSVID(ctx, svid.Marshal(), audience, workloadapi.WithAddr(socket))
	if err != nil {
		printLine(map[string]any{"error": err.Error(), "stage": "validate"})
		return exitRefused
	}
	_, wrong := workloadapi.ValidateJWTSVID(ctx, svid.Marshal(), audience+"-other", workloadapi.WithAddr(socket))
	printLine(map[string]any{
		"spiffe_id": verified.ID.String(), "audience": verified.Audience,
		"validated_id": validated.ID.String(), "other_audience_refused": wrong != nil,
	})
	return 0
}
