/** The documents of a pod whose containers lean on each other: see pods.test.ts. */

export const CONFIG = `
apiVersion: v1
kind: ConfigMap
metadata: { name: web-conf }
data:
  front.conf: |
    events {}
    pid /tmp/front.pid;
    error_log stderr notice;
    http {
      access_log off;
      server {
        listen 8080;
        location /socket { proxy_pass http://unix:/shared/back.sock:/; }
        location / { proxy_pass http://127.0.0.1:8081; }
      }
    }
  back.conf: |
    events {}
    pid /tmp/back.pid;
    error_log stderr notice;
    http {
      access_log off;
      server {
        listen 127.0.0.1:8081;
        listen unix:/shared/back.sock;
        location / { return 200 "back says hello\\n"; }
      }
    }
---
apiVersion: v1
kind: Secret
metadata: { name: web-secret }
stringData: { password: "canary-4711-in-the-open" }
`;

/** Two nginx that reach each other on localhost and by a socket, one that writes, and one that ships what it writes. */
export function groupPod(said: { readonly color?: string; readonly tier?: string } = {}): string {
  return `
apiVersion: v1
kind: Pod
metadata: { name: group, labels: { tier: ${said.tier ?? "one"} } }
spec:
  shareProcessNamespace: true
  terminationGracePeriodSeconds: 10
  volumes:
  - { name: shared, emptyDir: {} }
  - { name: words, emptyDir: {} }
  - { name: conf, configMap: { name: web-conf } }
  - { name: keys, secret: { secretName: web-secret, defaultMode: 256 } }
  initContainers:
  - name: first
    image: debian
    command: [sh, -c, "echo first >> /words/order"]
    volumeMounts: [{ name: words, mountPath: /words }]
  - name: shipper
    image: debian
    restartPolicy: Always
    command: [sh, -c, "echo shipper >> /words/order; touch /words/app.log; exec tail -n +1 -f /words/app.log"]
    volumeMounts: [{ name: words, mountPath: /words }]
  containers:
  - name: front
    image: nginx
    command: [nginx, -g, daemon off;, -c, /conf/front.conf]
    ports: [{ containerPort: 8080 }]
    readinessProbe: { httpGet: { path: /, port: 8080 }, periodSeconds: 1 }
    volumeMounts:
    - { name: shared, mountPath: /shared }
    - { name: conf, mountPath: /conf }
  - name: back
    image: nginx
    command: [nginx, -g, daemon off;, -c, /conf/back.conf]
    volumeMounts:
    - { name: shared, mountPath: /shared }
    - { name: conf, mountPath: /conf }
  - name: writer
    image: debian
    command: [sh, -c, 'echo writer >> /words/order; trap "echo last words of $COLOR >> /words/app.log; exit 0" TERM; echo first words of $COLOR >> /words/app.log; while :; do sleep 0.2; done']
    env:
    - { name: COLOR, value: ${said.color ?? "green"} }
    - { name: PASSWORD, valueFrom: { secretKeyRef: { name: web-secret, key: password } } }
    - { name: POD_IP, valueFrom: { fieldRef: { fieldPath: status.podIP } } }
    volumeMounts:
    - { name: words, mountPath: /words }
    - { name: keys, mountPath: /keys, readOnly: true }
`;
}
