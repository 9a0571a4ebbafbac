# Touchstone: web and worker in one image. See docker-compose.yml.
#   docker build .                             platform and trainer, CPU
#   docker build --build-arg TORCH=cuda .      with CUDA
#   docker build --build-arg TORCH=none .      web and data jobs only: a small image
ARG PYTHON=3.12

FROM python:${PYTHON}-slim AS build
ARG TORCH=cpu
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /touchstone
COPY pyproject.toml constraints.txt README.md ./
COPY .ci .ci
# The packages alone: a change of our own code leaves this layer, with its torch, as it is. It is
# installed as a link to this folder, where the next stage puts the real one.
RUN mkdir app && touch app/__init__.py && TORCH=${TORCH} sh .ci/install train \
  && .venv/bin/python -m pip install -c constraints.txt s3fs

FROM python:${PYTHON}-slim
RUN useradd --system --uid 10001 --create-home touchstone \
  && mkdir -p /data && chown touchstone:touchstone /data
WORKDIR /touchstone
COPY --from=build /touchstone/.venv .venv
COPY pyproject.toml constraints.txt README.md ./
COPY app app
COPY migrations migrations
COPY static static
COPY templates templates
ENV PATH=/touchstone/.venv/bin:$PATH \
  PYTHONUNBUFFERED=1 \
  TOUCHSTONE_HOME=/data \
  TOUCHSTONE_LOG_FORMAT=json \
  HF_HOME=/data/huggingface \
  HF_HUB_DISABLE_TELEMETRY=1
USER touchstone
VOLUME /data
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
  CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/readyz', timeout=4)"]
CMD ["touchstone", "serve", "--host", "0.0.0.0", "--port", "8000"]
