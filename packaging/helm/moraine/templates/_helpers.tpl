{{- define "moraine.name" -}}
{{- if contains "moraine" .Release.Name }}{{ .Release.Name | trunc 52 | trimSuffix "-" }}{{ else }}{{ printf "%s-moraine" (.Release.Name | trunc 44 | trimSuffix "-") }}{{ end }}
{{- end }}

{{- define "moraine.selector" -}}
app.kubernetes.io/name: moraine
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "moraine.labels" -}}
{{ include "moraine.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{/* The settings file: what the chart knows, then what the values say. */}}
{{- define "moraine.settings" -}}
{{- $made := dict "data" "/var/lib/moraine" "listen" "0.0.0.0:8080" "drain_delay" .Values.drain.delay "drain_timeout" .Values.drain.timeout "log" (dict "format" "json") }}
{{- if .Values.accountID }}{{ $_ := set $made "account_id" .Values.accountID }}{{ end }}
{{- if .Values.metrics.enabled }}
{{- $_ := set $made "admin" (dict "listen" "0.0.0.0:8081") }}
{{- $_ := set $made "allow_remote_admin" true }}
{{- end }}
{{- if .Values.tls.secretName }}
{{- $_ := set $made "tls" (dict "cert" "/etc/moraine/tls/tls.crt" "key" "/etc/moraine/tls/tls.key") }}
{{- else }}
{{- $_ := set $made "allow_plaintext" true }}
{{- end }}
{{- if .Values.trustedProxies }}{{ $_ := set $made "server" (dict "trusted_proxies" (join "," .Values.trustedProxies)) }}{{ end }}
{{- if eq .Values.mode "shared" }}
{{- $_ := set $made "master_key_file" "/etc/moraine/secret/master.key" }}
{{- $_ := set $made "meta" (required "shared.meta is the URL of the database: postgres://..." .Values.shared.meta) }}
{{- $_ := set $made "blobs" (required "shared.blobs is the place of the bytes: s3://bucket/prefix" .Values.shared.blobs) }}
{{- $s3 := dict "path_style" .Values.shared.s3PathStyle }}
{{- if .Values.shared.s3Endpoint }}{{ $_ := set $s3 "endpoint" .Values.shared.s3Endpoint }}{{ end }}
{{- if .Values.shared.s3Region }}{{ $_ := set $s3 "region" .Values.shared.s3Region }}{{ end }}
{{- $_ := set $made "s3" $s3 }}
{{- /* The volume of a pod ends with it, so the audit log goes to the log of the pod. */}}
{{- $_ := set $made "audit" (dict "destination" "stdout") }}
{{- end }}
{{- toYaml (mergeOverwrite $made (deepCopy .Values.settings)) }}
{{- end }}

{{- define "moraine.secretEnv" -}}
- name: {{ .name }}
  valueFrom:
    secretKeyRef:
      name: {{ .secret }}
      key: {{ .key }}
{{- end }}

{{- define "moraine.pod" -}}
metadata:
  labels:
    {{- include "moraine.labels" . | nindent 4 }}
  annotations:
    checksum/settings: {{ include "moraine.settings" . | sha256sum }}
    {{- with .Values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  serviceAccountName: {{ include "moraine.name" . }}
  automountServiceAccountToken: false
  # A service called moraine would add variables that name no setting.
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ .Values.drain.gracePeriod }}
  securityContext:
    runAsNonRoot: true
    runAsUser: 65532
    runAsGroup: 65532
    fsGroup: 65532
    fsGroupChangePolicy: OnRootMismatch
    seccompProfile:
      type: RuntimeDefault
  {{- with .Values.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  containers:
    - name: moraine
      image: {{ printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) | quote }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      args: ["serve", "--config", "/etc/moraine/settings/moraine.yaml"]
      env:
        {{- with (required "existingSecret names the Secret with the root key" .Values.existingSecret) }}
        {{- include "moraine.secretEnv" (dict "name" "MORAINE_ROOT_ACCESS_KEY_ID" "secret" . "key" "root-access-key-id") | nindent 8 }}
        {{- include "moraine.secretEnv" (dict "name" "MORAINE_ROOT_SECRET_ACCESS_KEY" "secret" . "key" "root-secret-access-key") | nindent 8 }}
        {{- if eq $.Values.mode "shared" }}
        {{- include "moraine.secretEnv" (dict "name" "MORAINE_META_PASSWORD" "secret" . "key" "meta-password") | nindent 8 }}
        {{- include "moraine.secretEnv" (dict "name" "MORAINE_S3_ACCESS_KEY_ID" "secret" . "key" "s3-access-key-id") | nindent 8 }}
        {{- include "moraine.secretEnv" (dict "name" "MORAINE_S3_SECRET_ACCESS_KEY" "secret" . "key" "s3-secret-access-key") | nindent 8 }}
        {{- end }}
        {{- end }}
        {{- with .Values.extraEnv }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      ports:
        - name: glacier
          containerPort: 8080
        {{- if .Values.metrics.enabled }}
        - name: admin
          containerPort: 8081
        {{- end }}
      # The program asks its own admin listener, which stays on loopback.
      startupProbe:
        exec:
          command: ["/usr/bin/moraine", "health", "--live"]
        periodSeconds: 2
        timeoutSeconds: 5
        failureThreshold: 300
      livenessProbe:
        exec:
          command: ["/usr/bin/moraine", "health", "--live"]
        periodSeconds: 20
        timeoutSeconds: 10
        failureThreshold: 3
      readinessProbe:
        exec:
          command: ["/usr/bin/moraine", "health"]
        periodSeconds: 5
        timeoutSeconds: 5
        failureThreshold: 2
      securityContext:
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        capabilities:
          drop: ["ALL"]
      resources:
        {{- toYaml .Values.resources | nindent 8 }}
      volumeMounts:
        - name: data
          mountPath: /var/lib/moraine
        - name: settings
          mountPath: /etc/moraine/settings
          readOnly: true
        {{- if eq .Values.mode "shared" }}
        - name: secret
          mountPath: /etc/moraine/secret
          readOnly: true
        {{- end }}
        {{- if .Values.tls.secretName }}
        - name: tls
          mountPath: /etc/moraine/tls
          readOnly: true
        {{- end }}
  volumes:
    - name: settings
      configMap:
        name: {{ include "moraine.name" . }}
    {{- if eq .Values.mode "shared" }}
    - name: secret
      secret:
        secretName: {{ .Values.existingSecret }}
        defaultMode: 0440
        items:
          - key: master.key
            path: master.key
    {{- end }}
    {{- if .Values.tls.secretName }}
    - name: tls
      secret:
        secretName: {{ .Values.tls.secretName }}
        defaultMode: 0440
    {{- end }}
    {{- if eq .Values.mode "shared" }}
    - name: data
      emptyDir: {}
    {{- end }}
  {{- with .Values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.topologySpreadConstraints }}
  topologySpreadConstraints:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}
