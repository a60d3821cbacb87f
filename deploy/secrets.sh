#!/bin/sh
# Makes ./secrets for compose.yaml: random values, one file each. What is there stays, so it is safe to repeat.
# The folder is its owner's alone; the files are readable, because in the containers they are read by other users.
set -eu
cd "$(dirname "$0")/.."
mkdir -p secrets
chmod 700 secrets

random() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }
keep() { [ -s "secrets/$1.txt" ] || printf '%s\n' "$2" > "secrets/$1.txt"; }

for service in identity employee core; do
  keep "${service}_db_password" "$(random)"
  keep "${service}_db_superuser" "$(random)"
  keep "${service}_role_secret" "k1:$(random)"
done
keep admin_token "$(random)"
if [ ! -s secrets/nats_url.txt ] || [ ! -s secrets/nats_conf.txt ]; then
  password=$(random)
  printf 'nats://services:%s@nats:4222\n' "$password" > secrets/nats_url.txt
  printf 'authorization { users: [{ user: "services", password: "%s" }] }\n' "$password" > secrets/nats_conf.txt
fi
chmod 644 secrets/*.txt
