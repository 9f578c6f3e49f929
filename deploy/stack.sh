#!/bin/sh
# The one door to the running stack: Docker Compose where an engine answers, else plain processes (deploy/native).
# LOOKOUT_RUNTIME=native or LOOKOUT_RUNTIME=compose decides by hand. POSIX shell, because with Docker no Python is needed.
set -eu
cd "$(dirname "$0")/.."

state=${LOOKOUT_STATE:-.lookout}

compose_answers() {
    command -v docker >/dev/null 2>&1 && docker compose version >/dev/null 2>&1 && docker info >/dev/null 2>&1
}

compose_runs() {
    compose_answers && [ -n "$(docker compose ps --quiet 2>/dev/null)" ]
}

native_runs() {
    ls "$state"/native/run/*.json >/dev/null 2>&1
}

# What runs wins over what could run, so that `up` twice never starts a second stack beside the first.
runtime() {
    case ${LOOKOUT_RUNTIME:-} in
        native | compose) echo "$LOOKOUT_RUNTIME" ;;
        "") if native_runs; then echo native; elif compose_answers; then echo compose; else echo native; fi ;;
        *) echo "LOOKOUT_RUNTIME=$LOOKOUT_RUNTIME is neither native nor compose" >&2; exit 2 ;;
    esac
}

native() {
    ${MAKE:-make} --no-print-directory -s setup
    exec "${VENV:-.venv}/bin/python" -m "$@"
}

compose_up() {
    echo "Docker answers: starting with Docker Compose (LOOKOUT_RUNTIME=native runs without it)."
    if ! docker compose up --detach --build --wait --wait-timeout 300; then
        echo "The stack did not become healthy. The last lines of what is not running:" >&2
        docker compose ps --all >&2
        docker compose logs --tail 15 >&2
        exit 1
    fi
    docker compose run --rm --no-deps --quiet-pull --entrypoint python agents -m deploy.urls
}

compose_down() {
    docker compose down
}

case ${1:-} in
    up)
        chosen=$(runtime)
        if [ "$chosen" = compose ]; then compose_up; else native deploy.native up; fi
        ;;
    down)
        if compose_runs; then compose_down; fi
        if native_runs; then native deploy.native down; fi
        ;;
    status)
        if [ "$(runtime)" = compose ]; then docker compose ps; else native deploy.native status; fi
        ;;
    reload)
        if [ "$(runtime)" = native ]; then native deploy.native reload; fi
        docker compose kill --signal HUP prometheus alertmanager exporter sidecar
        ;;
    break | heal)
        if [ "$(runtime)" = native ]; then native demo.faults "$@"; fi
        docker compose exec --no-TTY agents python -m demo.faults "$@"
        ;;
    *)
        echo "usage: deploy/stack.sh up|down|status|reload|break FAULT|heal [FAULT]" >&2
        exit 2
        ;;
esac
