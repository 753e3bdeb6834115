// registrar tells kubelet of a CSI driver, as the node-driver-registrar of Kubernetes does, which no proxy serves here:
// it asks the driver for its name, and serves kubelet's plugin registration under it.
package main

import (
	"context"
	"flag"
	"log"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	registration "k8s.io/kubelet/pkg/apis/pluginregistration/v1"
)

type server struct {
	registration.UnimplementedRegistrationServer
	info *registration.PluginInfo
}

func (s *server) GetInfo(context.Context, *registration.InfoRequest) (*registration.PluginInfo, error) {
	return s.info, nil
}

func (s *server) NotifyRegistrationStatus(_ context.Context, status *registration.RegistrationStatus) (*registration.RegistrationStatusResponse, error) {
	if !status.PluginRegistered {
		log.Fatalf("kubelet does not take %s: %s", s.info.Name, status.Error)
	}
	return &registration.RegistrationStatusResponse{}, nil
}

func main() {
	socket := flag.String("driver", "", "the driver's socket")
	folder := flag.String("folder", "/var/lib/kubelet/plugins_registry", "where kubelet looks for registrations")
	flag.Parse()
	connection, err := grpc.NewClient("unix:"+*socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	check(err)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	driver, err := csi.NewIdentityClient(connection).GetPluginInfo(ctx, &csi.GetPluginInfoRequest{}, grpc.WaitForReady(true))
	check(err)
	own := filepath.Join(*folder, driver.GetName()+"-reg.sock")
	_ = os.Remove(own)
	listener, err := net.Listen("unix", own)
	check(err)
	endpoint := grpc.NewServer()
	registration.RegisterRegistrationServer(endpoint, &server{info: &registration.PluginInfo{
		Type: registration.CSIPlugin, Name: driver.GetName(), Endpoint: *socket, SupportedVersions: []string{"1.0.0"},
	}})
	check(endpoint.Serve(listener))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
