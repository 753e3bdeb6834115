module latchkey/registrar

go 1.25.0

require (
	github.com/container-storage-interface/spec v1.6.0
	google.golang.org/grpc v1.79.3
	k8s.io/kubelet v0.34.4
)

// Older than its parts, which grpc takes as modules of their own.
replace google.golang.org/genproto => google.golang.org/genproto v0.0.0-20251202230838-ff82c1b0f217
