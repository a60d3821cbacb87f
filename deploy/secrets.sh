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
keep service_token "$(random)"
# One NATS user each. The server's file is made anew every time: the rules may have changed, the passwords have not.
rules=''
for user in operator identity employee core; do
  keep "nats_${user}_url" "nats://${user}:$(random)@nats:4222"
  password=$(sed 's|^nats://[^:]*:\([^@]*\)@.*|\1|' "secrets/nats_${user}_url.txt")
  rules="$rules;s|\$NATS_$(echo "$user" | tr '[:lower:]' '[:upper:]')_PASSWORD\$|\"$password\"|"
done
sed "${rules#;}" deploy/nats.conf > secrets/nats_conf.txt
chmod 644 secrets/*.txt
