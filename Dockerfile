# Two images: `service` (the default: web, worker, beat and migrations) and `nginx`, with the static files in it.
# Behind a mirror: --build-arg PYTHON_IMAGE=…, NGINX_IMAGE=…, PIP_INDEX_URL=…, PIP_TRUSTED_HOST=…
# No feature needs BuildKit, so that Compose 1.29's own builder can build it too.
ARG PYTHON_IMAGE=python:3.11.14-slim-bookworm
ARG NGINX_IMAGE=nginx:1.28.1-alpine

# The packages alone: built anew only when the locked requirements change.
FROM ${PYTHON_IMAGE} AS packages
ARG PIP_INDEX_URL=
ARG PIP_TRUSTED_HOST=
COPY requirements/base.txt /requirements.txt
RUN python -m venv --without-pip /opt/carryon \
    && python -m pip --python /opt/carryon/bin/python --disable-pip-version-check --no-input install \
        --no-cache-dir --require-hashes --only-binary :all: -r /requirements.txt

FROM ${PYTHON_IMAGE} AS base
RUN groupadd --gid 10001 carryon \
    && useradd --uid 10001 --gid carryon --no-create-home --home-dir /data --shell /usr/sbin/nologin carryon \
    && install -d -o carryon -g carryon -m 0750 /data /data/run
COPY --from=packages /opt/carryon /opt/carryon
ENV PATH=/opt/carryon/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    DJANGO_SETTINGS_MODULE=config.settings \
    HOST=0.0.0.0 \
    PORT=8008 \
    DATA_DIR=/data
WORKDIR /app
COPY LICENSE manage.py ./
COPY config config
COPY transfers transfers
COPY tasks_api tasks_api
COPY sync sync
# Byte code is written now: later the file system is read-only.
RUN python -m compileall -q /app

FROM base AS static
RUN DATA_DIR=/tmp/data STATIC_ROOT=/srv/static python manage.py collectstatic --no-input --verbosity 0

FROM ${NGINX_IMAGE} AS nginx
COPY deploy/nginx/nginx.conf /etc/nginx/nginx.conf
COPY --from=static /srv/static /srv/static
# As the service, whose files it sends.
USER 10001:10001
EXPOSE 8080
STOPSIGNAL SIGQUIT
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s --retries=3 \
    CMD ["wget", "-q", "-O", "/dev/null", "http://127.0.0.1:8080/livez"]
ENTRYPOINT ["nginx"]
CMD ["-g", "daemon off;"]

FROM base AS service
USER 10001:10001
EXPOSE 8008
HEALTHCHECK --interval=10s --timeout=10s --start-period=30s --retries=3 \
    CMD ["python", "-I", "-S", "config/supervisor/health.py", "web"]
ENTRYPOINT ["python", "-m", "config.supervisor.solo"]
CMD ["web"]
