// Bento with the components that archiving needs: queue, mapping and bucket. What it does is in config.yaml.
package main

import (
	"context"
	"runtime/debug"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	_ "github.com/warpstreamlabs/bento/public/components/aws"
	_ "github.com/warpstreamlabs/bento/public/components/pure"
	"github.com/warpstreamlabs/bento/public/service"
)

const (
	connections = 256       // kept open; Bento has no setting for it, and the SDK keeps ten
	gcPercent   = 400       // collect garbage a quarter as often as by default ...
	memoryLimit = 256 << 20 // ... and more often above this many bytes
)

func main() {
	debug.SetGCPercent(gcPercent)
	debug.SetMemoryLimit(memoryLimit)
	awshttp.DefaultHTTPTransportMaxIdleConns, awshttp.DefaultHTTPTransportMaxIdleConnsPerHost = connections, connections
	service.RunCLI(context.Background())
}
