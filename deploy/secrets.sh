#!/bin/sh
# Makes ./secrets for compose.yaml: random values, one file each. What is there stays, so it is safe to repeat.
# The folder is its owner's alone; the files are readable, because in the containers they are read by other users.
set -eu
cd "$(dirname "$0")/.."
mkdir -p secrets/admin
chmod 700 secrets
chmod 755 secrets/admin

random() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }
keep() { [ -s "secrets/$1.txt" ] || printf '%s\n' "$2" > "secrets/$1.txt"; }

for service in identity employee core; do
  keep "${service}_db_password" "$(random)"
  keep "${service}_db_superuser" "$(random)"
  keep "${service}_role_secret" "k1:$(random)"
done
# A folder of its own, which identity gets whole, so that it sees a new file in the place of the old one.
[ ! -s secrets/admin_token.txt ] || mv secrets/admin_token.txt secrets/admin/token.txt
keep admin/token "$(random)"
keep service_token "$(random)"
# Of the console and the operator API: more tokens, with other roles, are added behind a comma.
keep operator_token "administer:$(random)"
# One NATS user each. The server's file is made anew every time: the rules may have changed, the passwords have not. sed reads
# the passwords from their files, as other users of the machine can read the arguments of a process.
for user in operator identity employee core; do
  keep "nats_${user}_url" "nats://${user}:$(random)@nats:4222"
  grep -qx "nats://${user}:[^/?#[:space:]][^/?#[:space:]]*@[^@[:space:]]*" "secrets/nats_${user}_url.txt" || {
    echo "secrets/nats_${user}_url.txt must hold nats://${user}:<password>@<host>:<port>: correct it, or remove it for a new one." >&2
    exit 1
  }
done
{
  for user in operator identity employee core; do
    printf 'NATS_%s_PASSWORD: "' "$(echo "$user" | tr '[:lower:]' '[:upper:]')"
    # What is %7C in a URL is \x7C between the quotes of the server's file.
    sed 's|^nats://[^:]*:\(.*\)@[^@]*$|\1|; s/[\\"]/\\&/g; s/%/\\x/g; s/$/"/' "secrets/nats_${user}_url.txt"
  done
  cat deploy/nats.conf
} > secrets/nats_conf.txt
chmod 644 secrets/*.txt secrets/admin/*.txt
# compose.yaml asks for it, so that what is missing has a name.
: > secrets/made-by-deploy-secrets.sh
