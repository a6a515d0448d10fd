# Makes the locked Python environment and sets PYTHON to its interpreter; sourced by the scripts in hack/, never run.
#
#   source "$(dirname "${BASH_SOURCE[0]}")/lib/venv.sh"
#   headgate_venv                  # makes it if it is not there, then sets and exports PYTHON, VENV, PATH and PYTHONPATH
#   "$PYTHON" -m headgate.cli
#
# The environment lies in the per-user cache (HEADGATE_CACHE, else XDG_CACHE_HOME/headgate, else ~/.cache/headgate), one
# for each lock file and Python version, and is shared by all checkouts: the project itself comes by PYTHONPATH.
# shellcheck shell=bash

HEADGATE_ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
HEADGATE_CACHE="${HEADGATE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/headgate}"
export HEADGATE_ROOT HEADGATE_CACHE

# Prints a Python interpreter that is new enough. HEADGATE_PYTHON names one to use instead.
headgate_base_python() {
  local candidate
  for candidate in ${HEADGATE_PYTHON:-python3 python3.14 python3.13 python3.12 python3.11}; do
    if command -v "$candidate" > /dev/null \
      && "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2> /dev/null; then
      command -v "$candidate"
      return
    fi
  done
  echo "headgate: no Python 3.11 or newer on PATH (looked for: ${HEADGATE_PYTHON:-python3, python3.11 to python3.14})" >&2
  echo "headgate: on Debian or Ubuntu: apt-get install python3 python3-venv; or set HEADGATE_PYTHON to one" >&2
  return 1
}

headgate_make_venv() {
  local base="$1" lock="$2" log="$VENV.log"
  echo "headgate: making the Python environment (about a minute, once for each lock)" >&2
  rm -rf "$VENV"
  if ! "$base" -m venv "$VENV" > "$log" 2>&1; then
    cat "$log" >&2
    echo "headgate: $base cannot make an environment; on Debian or Ubuntu: apt-get install python3-venv" >&2
    return 1
  fi
  if ! "$VENV/bin/python" -m pip install --require-hashes --no-deps --disable-pip-version-check --no-input \
    --requirement "$lock" > "$log" 2>&1; then
    tail -n 20 "$log" >&2
    echo "headgate: the locked packages could not be installed; the full output is in $log" >&2
    echo "headgate: this needs a package index that pip can reach (PIP_INDEX_URL, PIP_PROXY and pip.conf are honoured)" >&2
    return 1
  fi
  touch "$VENV/.complete"
}

# headgate_venv [LOCK]: the environment of requirements-dev.lock, or of another lock of this folder.
headgate_venv() {
  local base lock digest
  lock="$HEADGATE_ROOT/${1:-requirements-dev.lock}"
  base="$(headgate_base_python)" || return
  digest="$("$base" -c '
import hashlib, sys, sysconfig
digest = hashlib.sha256(open(sys.argv[1], "rb").read())
digest.update(f"{sys.version}{sysconfig.get_platform()}{sys.base_prefix}".encode())
print(digest.hexdigest()[:16])' "$lock")" || return
  VENV="$HEADGATE_CACHE/venv-$digest"
  mkdir -p "$HEADGATE_CACHE"

  if [[ ! -e "$VENV/.complete" ]]; then
    if command -v flock > /dev/null; then
      # Two scripts may start at once: the second waits for the first, then finds the work done.
      (
        flock 9
        [[ -e "$VENV/.complete" ]] || headgate_make_venv "$base" "$lock"
      ) 9> "$VENV.lock" || return
    else
      headgate_make_venv "$base" "$lock" || return
    fi
  fi

  PYTHON="$VENV/bin/python"
  PATH="$VENV/bin:$PATH"
  PYTHONPATH="$HEADGATE_ROOT/operator${PYTHONPATH:+:$PYTHONPATH}"
  export VENV PYTHON PATH PYTHONPATH
}
