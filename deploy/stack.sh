#!/bin/sh
# The one door to the running stack: Docker Compose where an engine answers, else plain processes (deploy/native).
# LOOKOUT_RUNTIME=native or LOOKOUT_RUNTIME=compose decides by hand. POSIX shell: with Docker no Python is needed.
set -eu
cd "$(dirname "$0")/.."

# `.env` as Compose reads it, for every runtime; only our own names and those of telemetry, and the environment wins.
read_env_file() {
    while IFS= read -r line; do
        [ -n "$line" ] || continue
        name=${line%%=*} value=${line#*=}
        case $name in LOOKOUT_* | OTEL_*) ;; *) continue ;; esac
        case $value in
            \"*\"*) value=${value#\"} value=${value%%\"*} ;;
            "'"*"'"*) value=${value#"'"} value=${value%%"'"*} ;;
            *) value=$(echo "${value%% #*}" | sed 's/[[:space:]]*$//') ;;
        esac
        if ! printenv "$name" >/dev/null; then export "$name=$value"; fi
    done <<LINES
$(tr -d '\r' <.env | sed -n 's/^[[:space:]]*\(export[[:space:]][[:space:]]*\)\{0,1\}\([A-Z][A-Z0-9_]*\)[[:space:]]*=[[:space:]]*/\2=/p')
LINES
}
if [ -f .env ]; then read_env_file; fi

# `make up TELEMETRY=1`: the profile, as COMPOSE_PROFILES=telemetry in the environment or .env has it too.
if [ -n "${TELEMETRY:-}" ]; then
    export COMPOSE_PROFILES="${COMPOSE_PROFILES:+$COMPOSE_PROFILES,}telemetry"
fi

state=${LOOKOUT_STATE:-.lookout}
# Compose cannot count: the range is made here, or written into .env as LOOKOUT_AGENTS_PORTS.
if [ -n "${LOOKOUT_AGENTS_PORT:-}" ]; then
    export LOOKOUT_AGENTS_PORTS="$LOOKOUT_AGENTS_PORT-$((LOOKOUT_AGENTS_PORT + 11))"
fi

compose_answers() {
    command -v docker >/dev/null 2>&1 && docker compose version >/dev/null 2>&1 && docker info >/dev/null 2>&1
}

# Containers of this checkout: another one's stack has the same names, and is none of our business.
compose_runs() {
    compose_answers && [ -n "$(docker ps --all --quiet --filter "label=com.docker.compose.project.working_dir=$PWD")" ]
}

native_runs() {
    ls "$state"/native/run/*.json >/dev/null 2>&1
}

# What runs wins over what could run, so that `up` twice never starts a second stack beside the first.
runtime() {
    case ${LOOKOUT_RUNTIME:-} in
        native | compose) echo "$LOOKOUT_RUNTIME" ;;
        "") if native_runs || ! compose_answers; then echo native; else echo compose; fi ;;
        *) echo "LOOKOUT_RUNTIME=$LOOKOUT_RUNTIME is neither native nor compose" >&2; exit 2 ;;
    esac
}

native() {
    ${MAKE:-make} --no-print-directory -s setup-to-run
    "${VENV:-.venv}/bin/python" -m "$@"
}

tools() {
    docker compose run --rm --no-deps --no-TTY --quiet-pull tools "$@"
}

failed_services() {
    docker compose ps --all --format '{{.Service}}|{{.State}}|{{.Health}}|{{.ExitCode}}' | awk -F '|' \
        '$3 == "unhealthy" || $2 == "restarting" || ($2 == "exited" && $4 != 0) { print $1 }'
}

# `moved VARIABLE PORT DEFAULT WHAT`. Native copies of the files follow the ports; containers read the files as they are.
moved() {
    if [ "${2:-$3}" != "$3" ]; then echo "warning: $1=$2, but $4" >&2; fi
}

warn_of_moved_ports() {
    moved LOOKOUT_GRAFANA_PORT "${LOOKOUT_GRAFANA_PORT:-}" 3000 "links to dashboards still lead to port 3000:
  change \`dashboards\` in rules/links.yaml and \`Grafana\` in exporter/exporter.yaml and incident_desk/desk.yaml,
  then make generate && make reload"
    moved LOOKOUT_EXPORTER_PORT "${LOOKOUT_EXPORTER_PORT:-}" 9820 "links to runbooks still lead to port 9820:
  change \`runbooks\` in rules/links.yaml and \`Status page\` in incident_desk/desk.yaml, then make generate && make reload"
    moved LOOKOUT_INCIDENT_DESK_PORT "${LOOKOUT_INCIDENT_DESK_PORT:-}" 9822 "links to acknowledge still lead to port 9822:
  change \`incidents\` in rules/links.yaml, \`public_url\` in incident_desk/desk.yaml and \`Incidents\` in
  exporter/exporter.yaml, then make generate && make reload"
    moved LOOKOUT_SIDECAR_PORT "${LOOKOUT_SIDECAR_PORT:-}" 9819 "the sidecar calls itself http://localhost:9819:
  change \`resource: url\` in auth_sidecar/sidecar.yaml, and give idp, agents and engine the same --resource
  in docker-compose.yml, then make up"
}

compose_up() {
    echo "Docker answers: starting with Docker Compose (LOOKOUT_RUNTIME=native runs without it)."
    if ! docker compose up --detach --build --wait --wait-timeout 300; then
        echo "The stack did not become healthy. What runs, and the last lines of what failed:" >&2
        docker compose ps --all >&2
        for service in $(failed_services); do docker compose logs --no-log-prefix --tail 15 "$service" >&2; done
        exit 1
    fi
    tools deploy.urls
    warn_of_moved_ports
}

firing_alerts='/api/v2/alerts?silenced=false&inhibited=false&filter=alertname%21%3D%22Watchdog%22'

compose_down() {
    if ! compose_runs; then return; fi
    firing=$(docker compose exec --no-TTY alertmanager wget -q -O - "http://127.0.0.1:9093$firing_alerts" </dev/null 2>/dev/null |
        grep -o '"alertname":"[^"]*"' | cut -d '"' -f 4 | sort -u | paste -s -d , - | sed 's/,/, /g')
    if [ -n "$firing" ]; then
        echo "Still firing: $firing. Of what is mended while the stack is down no resolved message will come."
    fi
    # What was started with the profile ends too, whatever this shell says.
    if [ "$1" = clean ]; then
        docker compose --profile telemetry down --volumes --rmi local
    else
        docker compose --profile telemetry down
    fi
}

# `still_mounted SERVICE "FILE:MOUNTED ..."`
still_mounted() {
    for pair in $2; do
        docker compose exec --no-TTY "$1" cat "${pair#*:}" </dev/null 2>/dev/null | cmp -s - "${pair%%:*}" || return 1
    done
}

runs() {
    [ -n "$(docker compose ps --quiet "$1" </dev/null)" ]
}

# Of our own services the folder is mounted. Of the others single files are, and one that an editor replaced is another
# than the container has: that service is started again.
compose_reload() {
    # Secrets of one's own may be new; Alertmanager reads them when it sends.
    docker compose run --rm --no-TTY --quiet-pull prepare </dev/null
    code=0
    while read -r service files; do
        if ! runs "$service"; then
            echo "$service: not running; \`make up\` starts it" >&2
            code=1
        elif still_mounted "$service" "$files"; then
            docker compose kill --signal HUP "$service" </dev/null
        else
            docker compose restart "$service" </dev/null
        fi
    done <<FILES
exporter
incident-desk
sidecar
prometheus rules/prometheus.yml:/etc/prometheus/prometheus.yml
alertmanager alertmanager/generated/alertmanager.yml:/etc/alertmanager/alertmanager.yml
FILES
    return $code
}

# `checked MODULE FILE SERVICE`: the module's own check in its container; files are named as in this checkout.
checked() {
    if said=$(docker compose run --rm --no-deps --no-TTY --quiet-pull "$3" "$1" \
        "--config=/etc/lookout/$1/$2" --check </dev/null 2>&1); then
        echo "$2: valid"
        echo "$said" | sed -n -e 's|/etc/lookout/||g' -e '/^warning: /p'
    else
        echo "$2: refused"
        echo "$said" | sed 's|/etc/lookout/||g'
        return 1
    fi
}

compose_check() {
    docker compose run --rm --no-TTY --quiet-pull prepare </dev/null >/dev/null
    code=0
    checked exporter exporter.yaml exporter || code=1
    checked auth_sidecar sidecar.yaml sidecar || code=1
    checked incident_desk desk.yaml incident-desk || code=1
    return $code
}

# The folder is read-only in the container, so the file is written here.
compose_pin_tools() {
    file=$(sed -n 's/^pinned_tools:[[:space:]]*//p' exporter/exporter.yaml | sed -e 's/[[:space:]]*#.*//' -e "s/[\"']//g")
    case ${file:=pins.json} in
        /*) echo "pinned_tools: $file: with Docker name a file beside exporter/exporter.yaml" >&2; return 1 ;;
    esac
    # A new file beside it: on failure the pins of before stay.
    code=0
    docker compose exec --no-TTY exporter python -m exporter pin --config /etc/lookout/exporter/exporter.yaml --print \
        </dev/null >"exporter/$file.new" || code=$?
    if [ -s "exporter/$file.new" ]; then mv "exporter/$file.new" "exporter/$file"; else rm -f "exporter/$file.new"; fi
    return $code
}

chosen=$(runtime)
case ${1:-}/$chosen in
    up/native)
        if [ -n "${TELEMETRY:-}" ]; then
            echo "TELEMETRY=1 needs Docker: no package has collector, Tempo and Loki. OTEL_EXPORTER_OTLP_ENDPOINT=..." >&2
            echo "make up traces natively, to a collector of your own (docs/telemetry.md)." >&2
            exit 2
        fi
        native deploy.native up
        ;;
    up/compose) compose_up ;;
    down/* | clean/*)
        if [ "${LOOKOUT_RUNTIME:-}" != native ]; then compose_down "$1"; fi
        if native_runs; then native deploy.native down; fi
        ;;
    status/native) native deploy.native status ;;
    status/compose)
        docker compose ps --all
        # 1 when something does not run that should, or nothing at all.
        compose_runs && [ -z "$(failed_services)" ]
        ;;
    reload/native) native deploy.native reload ;;
    reload/compose) compose_reload ;;
    pin-tools/native) native deploy.native pin-tools ;;
    pin-tools/compose) compose_pin_tools ;;
    check-config/native) native deploy.native check-config ;;
    check-config/compose) compose_check ;;
    break/native | heal/native) native deploy.native "$@" ;;
    break/compose | heal/compose) tools demo.faults --control http://agents:9827 "$@" ;;
    *)
        echo "usage: deploy/stack.sh up|down|clean|status|reload|pin-tools|check-config|break FAULT|heal [FAULT]" >&2
        exit 2
        ;;
esac
