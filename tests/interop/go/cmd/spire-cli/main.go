// Command spire-cli is SPIRE's own server command line without the server: its commands, taken
// from the SPIRE module, pointed at any admin socket by -socketPath.
package main

import (
	"fmt"
	"os"

	"github.com/mitchellh/cli"
	"github.com/spiffe/spire/cmd/spire-server/cli/agent"
	"github.com/spiffe/spire/cmd/spire-server/cli/bundle"
	"github.com/spiffe/spire/cmd/spire-server/cli/debug"
	"github.com/spiffe/spire/cmd/spire-server/cli/entry"
	"github.com/spiffe/spire/cmd/spire-server/cli/federation"
	"github.com/spiffe/spire/cmd/spire-server/cli/healthcheck"
	"github.com/spiffe/spire/cmd/spire-server/cli/jwt"
	localjwt "github.com/spiffe/spire/cmd/spire-server/cli/localauthority/jwt"
	localx509 "github.com/spiffe/spire/cmd/spire-server/cli/localauthority/x509"
	"github.com/spiffe/spire/cmd/spire-server/cli/logger"
	"github.com/spiffe/spire/cmd/spire-server/cli/token"
	"github.com/spiffe/spire/cmd/spire-server/cli/x509"
	"github.com/spiffe/spire/pkg/common/version"
)

// commands is keyed by object, then verb; the verb is empty where the object is the whole command.
var commands = map[string]map[string]func() cli.Command{
	"entry": {
		"create": entry.NewCreateCommand, "show": entry.NewShowCommand, "count": entry.NewCountCommand,
		"update": entry.NewUpdateCommand, "delete": entry.NewDeleteCommand,
	},
	"agent": {
		"list": agent.NewListCommand, "show": agent.NewShowCommand, "count": agent.NewCountCommand,
		"ban": agent.NewBanCommand, "evict": agent.NewEvictCommand, "purge": agent.NewPurgeCommand,
	},
	"bundle": {
		"show": bundle.NewShowCommand, "list": bundle.NewListCommand, "count": bundle.NewCountCommand,
		"set": bundle.NewSetCommand, "delete": bundle.NewDeleteCommand,
	},
	"federation": {
		"create": federation.NewCreateCommand, "show": federation.NewShowCommand,
		"list": federation.NewListCommand, "update": federation.NewUpdateCommand,
		"delete": federation.NewDeleteCommand, "refresh": federation.NewRefreshCommand,
	},
	"localauthority x509": {
		"show": localx509.NewX509ShowCommand, "prepare": localx509.NewX509PrepareCommand,
		"activate": localx509.NewX509ActivateCommand, "taint": localx509.NewX509TaintCommand,
		"revoke": localx509.NewX509RevokeCommand,
	},
	"localauthority jwt": {
		"show": localjwt.NewJWTShowCommand, "prepare": localjwt.NewJWTPrepareCommand,
		"activate": localjwt.NewJWTActivateCommand, "taint": localjwt.NewJWTTaintCommand,
		"revoke": localjwt.NewJWTRevokeCommand,
	},
	"logger": {
		"get": logger.NewGetCommand, "set": logger.NewSetCommand, "reset": logger.NewResetCommand,
	},
	"token":       {"generate": token.NewGenerateCommand},
	"x509":        {"mint": x509.NewMintCommand},
	"jwt":         {"mint": jwt.NewMintCommand},
	"debug":       {"getinfo": debug.NewGetInfoCommand},
	"healthcheck": {"": healthcheck.NewHealthCheckCommand},
}

func main() {
	app := cli.NewCLI("spire-cli", version.Base)
	app.Args = os.Args[1:]
	app.Commands = map[string]cli.CommandFactory{}
	for object, verbs := range commands {
		for verb, construct := range verbs {
			name := object
			if verb != "" {
				name += " " + verb
			}
			app.Commands[name] = func() (cli.Command, error) { return construct(), nil }
		}
	}
	status, err := app.Run()
	if err != nil {
		fmt.Fprintln(os.Stderr, "spire-cli:", err)
	}
	os.Exit(status)
}
