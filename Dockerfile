# The portal's image: one for web, workers and beat; docker-compose.yml says which is which.
# It runs as an ordinary user, on a read-only file system with a tmpfs on /tmp, and holds no secret.

FROM python:3.13-slim AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /venv
ENV PATH=/venv/bin:$PATH
WORKDIR /app
COPY requirements*.txt ./
# The SDKs of other clouds and tracing, by the names of their lists: --build-arg EXTRAS="aws otel".
ARG EXTRAS=""
# A lock is complete, so pip has nothing to resolve: with the dependencies it would look for newer releases.
RUN set -e; pip install --require-hashes --no-deps -r requirements.txt; \
    for extra in $EXTRAS; do pip install --require-hashes --no-deps -r "requirements-$extra.txt"; done; \
    pip check
COPY . .
# Compiled translations, then hashed and compressed static files. The settings insist on secrets in production;
# these values exist in this one command and in nothing that it writes.
RUN if [ -d locale ]; then pybabel compile --directory locale --domain django; fi \
    && PORTAL_ENV=production SECRET_KEY=only-for-this-command ENCRYPTION_KEYS=only-for-this-command \
       REDIS_PASSWORD=only-for-this-command ALLOWED_HOSTS=localhost STATIC_ROOT=/app/staticfiles \
       python manage.py collectstatic --no-input \
    && python -m compileall -q .

FROM python:3.13-slim
# Deployments reach hosts by it.
RUN apt-get update && apt-get install --yes --no-install-recommends openssh-client && rm -rf /var/lib/apt/lists/*
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin portal
COPY --from=build /venv /venv
COPY --from=build /app /app
WORKDIR /app
ENV PATH=/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PORTAL_ENV=production \
    STATIC_ROOT=/app/staticfiles \
    WEB_BIND=0.0.0.0:8000
USER 10001
EXPOSE 8000
CMD ["gunicorn", "portal.wsgi", "-c", "portal/gunicorn_config.py"]
