# sdxl, rendered by factory from its recipe: edit that, or the template.
FROM python:3.11-slim-bookworm@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
RUN { test "$(uname -m)" = x86_64 || { echo 'factory: the base image is not linux/amd64' >&2; exit 1; }; } \
 && python="$(command -v python3.11 || command -v python3 || command -v python || :)" && { test -z "$python" || "$python" -c 'import sys; found = "%d.%d" % sys.version_info[:2]; sys.exit(None if found == "3.11" else "factory: the base image has Python " + found + " and the recipe wants 3.11: change image.python or image.base")'; }
WORKDIR /app
RUN --mount=type=bind,source=.machine,target=/run/machine . /run/machine/env && export DEBIAN_FRONTEND=noninteractive && packages='' \
 && { python="$(command -v python3.11 || command -v python3 || command -v python)" && "$python" -c 'import ensurepip, venv' 2>/dev/null || packages="$packages python3 python3-venv"; } \
 && { test -z "$packages" || { apt-get update -q && apt-get install -yq --no-install-recommends -- $packages && rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin /var/cache/ldconfig/aux-cache /var/log/apt /var/log/dpkg.log /var/log/alternatives.log; }; }
COPY worker_runtime/requirements.txt /opt/requirements/runtime.txt
RUN --mount=type=bind,source=.machine,target=/run/machine . /run/machine/env && touch -d '1 second ago' /dev/shm/before && python="$(command -v python3.11 || command -v python3 || command -v python)" && "$python" -c 'import sys; found = "%d.%d" % sys.version_info[:2]; sys.exit(None if found == "3.11" else "factory: the base image has Python " + found + " and the recipe wants 3.11: change image.python or image.base")' \
 && "$python" -m venv /opt/venv \
 && find /opt/venv -name __pycache__ -prune -exec rm -rf {} + \
 && export PYTHONDONTWRITEBYTECODE=1 && /opt/venv/bin/python -m pip install --no-cache-dir --no-compile --disable-pip-version-check --progress-bar off -r /opt/requirements/runtime.txt \
 && find /opt/venv/lib/python*/site-packages -mindepth 1 -maxdepth 1 -newer /dev/shm/before -print \
  | { /opt/venv/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash -i - >/dev/null || :; } \
 && find /opt/venv -newer /dev/shm/before -exec touch -h -d @315532800 {} + && touch -d @315532800 /opt /tmp
ENV VIRTUAL_ENV=/opt/venv PATH=/opt/venv/bin:${PATH:-/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin}
COPY requirements.txt /opt/requirements/recipe.txt
RUN --mount=type=bind,source=.machine,target=/run/machine . /run/machine/env && touch -d '1 second ago' /dev/shm/before \
 && export PYTHONDONTWRITEBYTECODE=1 && /opt/venv/bin/python -m pip install --no-cache-dir --no-compile --disable-pip-version-check --progress-bar off -r /opt/requirements/recipe.txt -c /opt/requirements/runtime.txt \
 && find /opt/venv/lib/python*/site-packages -mindepth 1 -maxdepth 1 -newer /dev/shm/before -print \
  | { /opt/venv/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash -i - >/dev/null || :; } \
 && find /opt/venv -newer /dev/shm/before -exec touch -h -d @315532800 {} + && touch -d @315532800 /opt /tmp
COPY worker_runtime/ /app/worker_runtime/
COPY recipe.json /app/
LABEL org.opencontainers.image.title="sdxl"
LABEL org.opencontainers.image.base.name="python:3.11-slim-bookworm"
LABEL org.opencontainers.image.base.digest="sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
LABEL factory.recipe.sha256="aa2562dfd0ec1d09be0981724bae26cc304dc140bccaf73d186780b30c17251d"
LABEL factory.model.stable-diffusion-xl-base-1.0="stabilityai/stable-diffusion-xl-base-1.0@65558980d12371aebcc2f05de123fc5d4b8959ec"
ENV PYTHONUNBUFFERED=1
ENV HF_HOME=/runpod-volume/huggingface
ENTRYPOINT []
CMD ["python", "-u", "-m", "worker_runtime"]
