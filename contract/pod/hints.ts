/*
 * Fields of Kubernetes that are not taken here, with a sentence that helps: most of them stand in
 * documents that people bring along. Fields that stand nowhere here are told as unknown ones.
 */

type Sentences = Readonly<Record<string, string>>;

const NO_CLUSTER = "not taken: there is no cluster behind it here; leave it out";
const HOST_NAMESPACES = "not taken: no pod shares the host's namespaces";
const PLACEMENT =
  "not taken: pods are placed by requests, nodeSelector, podAffinity and podAntiAffinity";
const OWN_WRITING = "not taken: it is what Kubernetes writes down itself; leave it out";
const VOLUME_KINDS =
  "not taken: a volume is emptyDir, hostPath, secret, configMap, image or persistentVolumeClaim";
const DNS = "not taken: every pod has its node's DNS; leave it out";

const DOCUMENT: Sentences = {
  status: "not taken: it is what was seen, not what is wanted; leave it out",
};

const METADATA: Sentences = {
  ...Object.fromEntries(
    [
      ...["uid", "resourceVersion", "creationTimestamp", "deletionTimestamp", "generation"],
      ...["deletionGracePeriodSeconds", "managedFields", "selfLink", "generateName"],
    ].map((name) => [name, OWN_WRITING]),
  ),
  ownerReferences: NO_CLUSTER,
  finalizers: NO_CLUSTER,
};

const POD_SPEC: Sentences = {
  hostNetwork: HOST_NAMESPACES,
  hostPID: HOST_NAMESPACES,
  hostIPC: HOST_NAMESPACES,
  hostUsers: "not taken: whether there is a user namespace is the node's choice",
  privileged: "not taken: no container here is privileged",
  nodeName: "not taken: which node a pod gets is decided here; nodeSelector narrows it",
  tolerations: PLACEMENT,
  topologySpreadConstraints:
    "not taken: the app's placement.spreadBy names the label over whose values its pods spread",
  schedulerName: PLACEMENT,
  schedulingGates: PLACEMENT,
  priority: "not taken: no pod here takes the place of another",
  priorityClassName: "not taken: no pod here takes the place of another",
  preemptionPolicy: "not taken: no pod here takes the place of another",
  serviceAccount: NO_CLUSTER,
  serviceAccountName: NO_CLUSTER,
  automountServiceAccountToken: NO_CLUSTER,
  enableServiceLinks: NO_CLUSTER,
  readinessGates: NO_CLUSTER,
  resourceClaims: NO_CLUSTER,
  overhead: NO_CLUSTER,
  imagePullSecrets:
    "not taken: images are pulled and pinned when a release is made; push private ones to this installation's /v2",
  dnsPolicy: DNS,
  dnsConfig: DNS,
  hostAliases: DNS,
  subdomain: DNS,
  setHostnameAsFQDN: DNS,
  ephemeralContainers: "not taken: a command runs in a container through POST /v1/apps/{app}/exec",
  activeDeadlineSeconds: "not supported yet",
  os: "not taken: every pod here is one of Linux; leave it out",
  resources: "not taken: resources are those of each container",
};

const CONTAINER: Sentences = {
  imagePullPolicy: "not taken: images are pinned by digest when a release is made",
  envFrom: "not taken: name each variable in env, with valueFrom",
  restartPolicy: 'not taken: only an init container has one, "Always", which makes it a sidecar',
  restartPolicyRules: "not taken: restartPolicy is the pod's",
  stdin: "not taken: an interactive command runs through exec",
  stdinOnce: "not taken: an interactive command runs through exec",
  tty: "not taken: an interactive command runs through exec",
  terminationMessagePath: "not taken: the log's last lines tell why a container ended",
  terminationMessagePolicy: "not taken: the log's last lines tell why a container ended",
  volumeDevices: "not taken: there are no block devices for pods here",
  resizePolicy: "not taken: other resources are another pod",
  privileged: "not taken: no container here is privileged",
  hostPort: 'not taken here: it belongs to an entry of "ports"',
};

const VOLUME: Sentences = Object.fromEntries(
  [
    ...["awsElasticBlockStore", "azureDisk", "azureFile", "cephfs", "cinder", "csi", "downwardAPI"],
    ...["ephemeral", "fc", "flexVolume", "flocker", "gcePersistentDisk", "gitRepo", "glusterfs"],
    ...["iscsi", "nfs", "photonPersistentDisk", "portworxVolume", "projected", "quobyte", "rbd"],
    ...["scaleIO", "storageos", "vsphereVolume"],
  ].map((name) => [name, VOLUME_KINDS]),
);

const SECURITY: Sentences = {
  procMount: "not taken: /proc is masked in every container",
  sysctls: "not taken: no pod changes the kernel's settings",
  seLinuxOptions: "not taken: the node's own confinement holds",
  appArmorProfile: "not taken: the node's own confinement holds",
  windowsOptions: "not taken: every pod here is one of Linux",
  fsGroupChangePolicy: "not taken: the group is set on a volume's root only",
};

const RESOURCE_NAMES: Sentences = {
  "ephemeral-storage": "not taken: an emptyDir is bounded by its sizeLimit",
  claims: NO_CLUSTER,
};

const HTTP_GET: Sentences = {
  host: "not taken: only the pod's own address is asked",
  scheme: "not taken: a pod is asked in plain HTTP",
};

const PROBE: Sentences = {
  grpc: "not taken: a probe is httpGet, tcpSocket or exec",
  terminationGracePeriodSeconds: "not taken: the grace period is the pod's",
};

const AFFINITY: Sentences = {
  nodeAffinity: "not taken: nodeSelector names the labels of nodes",
  preferredDuringSchedulingIgnoredDuringExecution:
    "not taken: only what is required is looked at; leave it out",
  matchExpressions: "not taken: matchLabels names the labels",
};

/** By the last name of a place's path; "" is the document itself. */
const PLACES: Readonly<Record<string, Sentences>> = {
  "": DOCUMENT,
  metadata: METADATA,
  spec: POD_SPEC,
  containers: CONTAINER,
  initContainers: CONTAINER,
  volumes: VOLUME,
  securityContext: SECURITY,
  resources: RESOURCE_NAMES,
  requests: RESOURCE_NAMES,
  limits: RESOURCE_NAMES,
  httpGet: HTTP_GET,
  startupProbe: PROBE,
  readinessProbe: PROBE,
  livenessProbe: PROBE,
  affinity: AFFINITY,
  podAffinity: AFFINITY,
  podAntiAffinity: AFFINITY,
  labelSelector: AFFINITY,
  postStart: { tcpSocket: "not taken: a hook is exec, httpGet or sleep" },
  preStop: { tcpSocket: "not taken: a hook is exec, httpGet or sleep" },
  lifecycle: { stopSignal: "not taken: containers are ended with SIGTERM" },
  ports: { hostIP: "not taken: a host port is open on every address of its node" },
  image: { pullPolicy: CONTAINER.imagePullPolicy ?? "" },
  volumeMounts: {
    subPathExpr: "not taken: subPath names the path as it is",
    mountPropagation: "not taken: mounts of the host do not reach into pods",
    recursiveReadOnly: "not taken: readOnly is enough here",
  },
  valueFrom: { resourceFieldRef: "not taken: write the value out" },
};

/** What is said of a well-known field, at a place below a Pod document. */
export function podHint(path: readonly PropertyKey[], key: string): string | undefined {
  const place = path.findLast((it): it is string => typeof it === "string") ?? "";
  const sentences = Object.hasOwn(PLACES, place) ? PLACES[place] : undefined;
  return sentences && Object.hasOwn(sentences, key) ? sentences[key] : undefined;
}

const WORKLOADS = ["Deployment", "ReplicaSet", "StatefulSet", "DaemonSet", "ReplicationController"];
const JOBS = ["Job", "CronJob"];

/** What is said of a document whose kind is none that is taken. */
export function kindHint(kind: unknown): string {
  const taken = "Pod, ConfigMap and Secret are the kinds that are taken";
  if (typeof kind !== "string") return `is no kind; ${taken}`;
  if (kind === "ConfigMap" || kind === "Secret") return "not taken here: send it to POST /v1/apply";
  if (WORKLOADS.includes(kind)) {
    return `not taken: an app has its own replicas; put the pod template's spec under "pod" and the count under "replicas"`;
  }
  if (JOBS.includes(kind)) return "not taken: declare a Pod with restartPolicy Never or OnFailure";
  if (kind === "Service" || kind === "Ingress") {
    return "not taken: every app that names a port answers at its own address";
  }
  if (kind === "PersistentVolumeClaim" || kind === "PersistentVolume") {
    return "not taken: a named volume comes to be with the first pod that names it";
  }
  if (kind === "List") return "not taken: put its items into one body, separated by ---";
  return `not taken: ${taken}`;
}
