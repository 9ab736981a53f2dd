# Rendered by factory from a recipe: edit that, or the template.
FROM python:3.11-slim-bookworm@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef AS git
RUN --mount=type=bind,source=.machine,target=/run/machine . /run/machine/env && export DEBIAN_FRONTEND=noninteractive && apt-get update -q \
 && apt-get install -yq --no-install-recommends git ca-certificates && rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin /var/cache/ldconfig/aux-cache /var/log/apt /var/log/dpkg.log /var/log/alternatives.log
FROM git AS source1
RUN --mount=type=bind,source=.machine,target=/run/machine . /run/machine/env && git init -q /source && cd /source \
 && { git fetch -q --depth 1 https://github.com/Orange-3DV-Team/MoCha b2150f9cb48fc40cba2702c4098a30e8d9ecee18 || git fetch -q https://github.com/Orange-3DV-Team/MoCha '+refs/*:refs/all/*'; } \
 && git checkout -q b2150f9cb48fc40cba2702c4098a30e8d9ecee18 && rm -rf .git && find . -exec touch -h -d @315532800 {} +
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
COPY --from=source1 /source/ /opt/src/MoCha/
RUN --mount=type=bind,source=.machine,target=/run/machine ["/bin/sh", "-ec", ". /run/machine/env; sed -i 's/^from transformers.modeling_utils import PretrainedConfig/from transformers import PretrainedConfig/' /opt/src/MoCha/diffsynth/models/stepvideo_text_encoder.py"]
COPY worker_runtime/ /app/worker_runtime/
COPY recipe.json handler.py /app/
LABEL org.opencontainers.image.title="mocha"
LABEL org.opencontainers.image.base.name="python:3.11-slim-bookworm"
LABEL org.opencontainers.image.base.digest="sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
LABEL factory.recipe.sha256="a05aacca06eb94997faa9e07b4a334292ba5468f0c3a02f8402d61756981796b"
LABEL factory.model.mocha="Orange-3DV-Team/MoCha@3751a0444c5f8411be528dfe32298a32d7a4c865"
LABEL factory.model.wan="Wan-AI/Wan2.1-T2V-14B@57b5f2323bf6a5333e2350811aaa82a3dfa42e2d"
ENV PYTHONUNBUFFERED=1
ENV HF_HOME=/runpod-volume/huggingface
ENTRYPOINT []
CMD ["python", "-u", "-m", "worker_runtime"]
