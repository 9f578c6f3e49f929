# One image for every service of ours; docker-compose.yml names the module that each container runs.
FROM python:3.13.9-slim-trixie AS build
WORKDIR /app
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/lookout
# Dependencies first, in a layer that stays until their versions change.
COPY pyproject.toml constraints.txt ./
RUN python -c 'import pathlib, tomllib; p = tomllib.loads(pathlib.Path("pyproject.toml").read_text())["project"]; \
print(*p["dependencies"], *p["optional-dependencies"]["demo"], sep="\n")' > requirements.txt \
    && /opt/lookout/bin/pip install -c constraints.txt -r requirements.txt
COPY README.md ./
COPY contract contract
COPY exporter exporter
COPY auth_sidecar auth_sidecar
COPY incident_desk incident_desk
COPY rules rules
COPY demo demo
COPY deploy deploy
COPY docs/runbooks docs/runbooks
# The project itself, so that it knows its version; the code stays in /app, compiled for a quick start.
# Readable to the user of the services, whatever umask the checkout was made with.
RUN chmod -R go+rX . && /opt/lookout/bin/pip install --no-deps --editable . \
    && /opt/lookout/bin/python -m compileall -q . /opt/lookout/lib

FROM python:3.13.9-slim-trixie
COPY --from=build /opt/lookout /opt/lookout
COPY --from=build /app /app
# Volumes take the owner of the folder they are first mounted on, and what lies in it.
RUN for folder in /var/lib/lookout/audit /var/lib/lookout/sidecar /var/lib/lookout/incidents /var/lib/lookout/idp /var/lib/lookout/sink /var/log/lookout \
        /secrets/notify /secrets/sidecar /secrets/clients /secrets/desk; do install -d -m 700 -o 65534 -g 65534 "$folder"; done \
    && echo "[]" > /var/lib/lookout/sidecar/revocations.json \
    && chown 65534:65534 /var/lib/lookout/sidecar/revocations.json && chmod 600 /var/lib/lookout/sidecar/revocations.json
WORKDIR /app
ENV PATH=/opt/lookout/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 65534:65534
# Overridden with each service's own address in docker-compose.yml.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s CMD ["python", "-I", "-S", "/app/deploy/health.py", "9820", "/-/ready"]
ENTRYPOINT ["python", "-m"]
CMD ["exporter", "--config", "/etc/lookout/exporter/exporter.yaml", "--host", "0.0.0.0"]
