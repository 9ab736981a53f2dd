# Rendered by factory from a recipe: edit that, or the template.
FROM python:3.11-slim-bookworm@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
RUN { test "$(uname -m)" = x86_64 || { echo 'factory: the base image is not linux/amd64' >&2; exit 1; }; } \
 && python="$(command -v python3.11 || command -v python3 || command -v python || :)" && { test -z "$python" || "$python" -c 'import sys; found = "%d.%d" % sys.version_info[:2]; sys.exit(None if found == "3.11" else "factory: the base image has Python " + found + " and the recipe wants 3.11: change image.python or image.base")'; }
WORKDIR /app
RUN --mount=type=bind,source=.machine,target=/run/machine . /run/machine/env && export DEBIAN_FRONTEND=noninteractive && packages='' \
 && { python="$(command -v python3.11 || command -v python3 || command -v python)" && "$python" -c 'import ensurepip, venv' 2>/dev/null || packages="$packages python3 python3-venv"; } \
 && { test -z "$packages" || { apt-get update -q && apt-get install -yq --no-install-recommends -- $packages && rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin /var/cache/ldconfig/aux-cache /var/log/apt /var/log/dpkg.log /var/log/alternatives.log; }; }
COPY install.py /opt/requirements/
COPY worker_runtime/requirements.txt /opt/requirements/runtime.txt
RUN --mount=type=bind,source=.machine,target=/run/machine --mount=type=cache,id=factory-packages,target=/mnt . /run/machine/env && python="$(command -v python3.11 || command -v python3 || command -v python)" && "$python" -c 'import sys; found = "%d.%d" % sys.version_info[:2]; sys.exit(None if found == "3.11" else "factory: the base image has Python " + found + " and the recipe wants 3.11: change image.python or image.base")' \
 && "$python" -m venv /opt/venv \
 && find /opt/venv -name __pycache__ -prune -exec rm -rf {} + \
 && cd /opt/requirements && /opt/venv/bin/python -B install.py runtime.txt
ENV VIRTUAL_ENV=/opt/venv PATH=/opt/venv/bin:${PATH:-/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin}
COPY requirements.txt /opt/requirements/recipe.txt
RUN --mount=type=bind,source=.machine,target=/run/machine --mount=type=cache,id=factory-packages,target=/mnt . /run/machine/env && cd /opt/requirements && /opt/venv/bin/python -B install.py recipe.txt --with runtime.txt
COPY worker_runtime/ /app/worker_runtime/
COPY recipe.json /app/
LABEL org.opencontainers.image.title="qwen"
LABEL org.opencontainers.image.base.name="python:3.11-slim-bookworm"
LABEL org.opencontainers.image.base.digest="sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
LABEL factory.recipe.sha256="aead6a38c7801b89a5e5175e074638180dd35c3535101609dc6d0685a8aef3b1"
LABEL factory.model.qwen2.5-7b-instruct="Qwen/Qwen2.5-7B-Instruct@a09a35458c702b33eeacc393d103063234e8bc28"
ENV PYTHONUNBUFFERED=1
ENV HF_HOME=/runpod-volume/huggingface
ENTRYPOINT []
CMD ["python", "-u", "-m", "worker_runtime"]
