#!/bin/sh
# Prints the Secrets of deploy/kubernetes, with the values of ./secrets, which deploy/secrets.sh makes when they are not there:
#   sh deploy/kubernetes/secrets.sh | kubectl -n <namespace> apply -f -
# Every value goes from its file through a pipe: none is an argument of a program.
set -eu
cd "$(dirname "$0")/../.."
sh deploy/secrets.sh
umask 077
[ -s secrets/metrics_token.txt ] || od -An -N24 -tx1 /dev/urandom | tr -d ' \n' > secrets/metrics_token.txt

secret() {
  printf -- '---\napiVersion: v1\nkind: Secret\nmetadata:\n  name: %s\ntype: %s\ndata:\n' "$1" "$2"
}
# A key, and the file of ./secrets whose first line is its value.
value() {
  printf '  %s: ' "$1"
  head -n 1 "secrets/$2.txt" | tr -d '\n' | base64 | tr -d '\n'
  printf '\n'
}

for service in identity employee core; do
  secret "$service-secrets" Opaque
  value db_password "${service}_db_password"
  value role_secret "${service}_role_secret"
  value nats_url "nats_${service}_url"
  value service_token service_token
  value operator_token operator_token
  value metrics_token metrics_token
  [ "$service" != identity ] || value admin_token admin/token
  # The shape that CloudNativePG's `superuserSecret` wants.
  secret "$service-db-superuser" kubernetes.io/basic-auth
  printf '  username: cG9zdGdyZXM=\n'
  value password "${service}_db_superuser"
done
secret operator-secrets Opaque
value service_token service_token
value operator_token operator_token
value admin_token admin/token
for service in identity employee core; do
  value "${service}_db_password" "${service}_db_password"
  value "${service}_role_secret" "${service}_role_secret"
  value "${service}_nats_url" "nats_${service}_url"
done
secret nats-configuration Opaque
printf '  nats.conf: '
base64 < secrets/nats_conf.txt | tr -d '\n'
printf '\n'
