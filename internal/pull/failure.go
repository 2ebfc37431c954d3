package pull

import "unicode/utf8"

// FailureReason classifies why a pull failed.
type FailureReason string

// The reasons of the GraphQL schema's PullFailureReason.
const (
	NotFound      FailureReason = "NOT_FOUND"
	Unauthorized  FailureReason = "UNAUTHORIZED"
	RateLimited   FailureReason = "RATE_LIMITED"
	NoPlatform    FailureReason = "NO_PLATFORM"
	TLS           FailureReason = "TLS"
	Network       FailureReason = "NETWORK"
	DiskFull      FailureReason = "DISK_FULL"
	Timeout       FailureReason = "TIMEOUT"
	Unschedulable FailureReason = "UNSCHEDULABLE"
	Quota         FailureReason = "QUOTA"
	Refused       FailureReason = "REFUSED"
	Volume        FailureReason = "VOLUME"
	Node          FailureReason = "NODE"
	// OtherContainer is about a container of the pull's pod that is not the copier.
	OtherContainer FailureReason = "OTHER_CONTAINER"
	CopierImage    FailureReason = "COPIER_IMAGE"
	OutOfMemory    FailureReason = "OUT_OF_MEMORY"
	Evicted        FailureReason = "EVICTED"
	Invalid        FailureReason = "INVALID"
	Lost           FailureReason = "LOST"
	Unknown        FailureReason = "UNKNOWN"
)

// Failure says why a pull failed.
type Failure struct {
	Reason FailureReason
	// Message is what the registry, the node or Kubernetes said, at most MaxFailureMessage bytes.
	Message string
	// LogTail holds the copier's last lines, oldest first, at most MaxLogTail; never nil.
	LogTail []string
}

// Bounds of a Failure.
const (
	MaxFailureMessage = 2048
	MaxLogTail        = 20
)

// Remedy says what a person can do about the failure.
func (f *Failure) Remedy() string { return f.Reason.Remedy() }

// Remedy says what a person can do about a failure with this reason.
func (r FailureReason) Remedy() string {
	switch r {
	case NotFound:
		return "If the message names the source registry, check the image's name and tag for typing errors, and that it still exists there. Some registries also answer \"not found\" for a private image: then add its credentials to the registry secret. If it names the destination registry, create the project or repository there that the image is copied to, or choose another destination."
	case Unauthorized:
		return "Add credentials for the registry that the message names to the secret given with --registry-secret, and check that they are for the repository that it names, and that they may read it at the source, or write it at the destination. Projects of the destination have to exist. Then retry the pull."
	case RateLimited:
		return "Wait until the registry's limit has passed, then retry the pull; with credentials for the source in the registry secret the limit is usually higher."
	case NoPlatform:
		return "The image has nothing for a platform that was asked for, or nothing at all. Start it again without the platforms that the message says are not there, or choose a tag or digest that has them."
	case TLS:
		return "Make the registry's certificate valid and trusted by the copier: give its authority's certificate with --registry-ca. Name a registry without TLS, or with a certificate that nobody can verify, with --insecure-registry."
	case Network:
		return "Check that pods in the pull namespace can reach the registry: its host name in DNS, network policies, proxy and firewall. Then retry the pull."
	case DiskFull:
		return "Free space, or raise the quota, where the message says that it ran out: the destination registry's storage or project quota, or the node's disk. If it was a limit of the pod's own, raise the copier's ephemeral-storage limit in --job-template. Then retry the pull."
	case Timeout:
		return "The pull did not finish within its deadline. Look at its speed in the log's last lines; give it more time with --pull-deadline, or retry: blobs that have arrived are not copied again."
	case Unschedulable:
		return "No node can run the copier. Compare the message with the node selector, tolerations and resources in --job-template, add capacity, then retry the pull."
	case Quota:
		return "The namespace of the Jobs is short of what the message names. Raise its ResourceQuota, lower what the copier asks for in --job-template, or let fewer pulls run at a time with --max-parallel. Then retry the pull."
	case CopierImage:
		return "This says nothing of the image that was to be copied: the node cannot get the copier's own. Those who run this server have to check --copier-image, that nodes can reach its registry, and imagePullSecrets in --job-template. Then retry the pull."
	case OutOfMemory:
		return "If the copier was killed, raise its memory limit in --job-template. If it was evicted, its node had too little memory for all that runs there: add capacity, or raise the copier's memory request. Then retry the pull."
	case Evicted:
		return "Kubernetes stopped the copier for the sake of the node or of other pods: the message says why. Retrying is safe, and blobs that have arrived are not copied again. If it happens often, give the copier a priority class in --job-template."
	case Refused:
		return "The cluster does not let the pull's Job run, or its pod be created. Have the rule that the message names (a LimitRange, Pod Security, a policy, a webhook, another controller) allow it, or fit the pod to it with --job-template. Then retry the pull."
	case Volume:
		return "A volume of the pull's pod cannot be mounted. Create the Secret or ConfigMap that the message names, with that key, or correct --registry-secret (the volume registry-logins), --registry-ca (the volume registry-ca) or --job-template. Then retry the pull."
	case Node:
		return "The node could not set up the pull's pod: its network or its runtime, for example. The events of the namespace say which node it was (kubectl get events -o wide). Have that node mended, or keep pods away from it with kubectl cordon, then retry the pull."
	case OtherContainer:
		return "The cluster adds containers to the pull's pod, as service meshes do, and one of these failed before the copier could start. Switch that off for pods of pulls with the labels or annotations of --job-template, or mend the container. Then retry the pull."
	case Invalid:
		return "Nothing that is tried again will help: correct what the message names (the image, the copier's image, the Job template, or a flag), then start the pull anew."
	case Lost:
		return "Its Job was deleted by somebody or something else than pullwatch. Retrying is safe: start the pull again."
	default:
		return "Read the message and the last lines of the log; retrying is safe, and blobs that have arrived are not copied again."
	}
}

// Truncate cuts s to at most n bytes, or to none if n is negative, without splitting a character.
func Truncate(s string, n int) string {
	n = max(n, 0)
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
