#!/bin/sh
# libpq takes a password from no file but one of its own format that nobody else may read, and a secret is neither.
set -eu
if [ -n "${POSTGRES_PASSWORD_FILE:-}" ]; then
  umask 077
  printf '*:*:*:*:%s\n' "$(sed 's/[\\:]/\\&/g' "$POSTGRES_PASSWORD_FILE")" >"$HOME/.pgpass"
fi
exec "$@"
