#!/bin/sh
# sudo downstream ... : the program, as the user whose files these are.
case $(id -un) in
    @USER@) exec env DOWNSTREAM_HOME=@HOME@ @HOME@/.venv/bin/downstream "$@" ;;
    root) exec /usr/sbin/runuser -u @USER@ -- env HOME=@HOME@ DOWNSTREAM_HOME=@HOME@ @HOME@/.venv/bin/downstream "$@" ;;
esac
echo "downstream: only its own user can read its files; try: sudo downstream $*" >&2
exit 1
