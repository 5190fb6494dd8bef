# docker build -t medbundles .
# docker run --rm -v "$PWD/data:/data" -v "$PWD/runs:/home/medbundles/runs" medbundles infer lung_nodule_ct_segmentation --dataset_dir /data
FROM python:3.11-slim

ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1

WORKDIR /source
COPY constraints.txt .
RUN pip install --no-deps -c constraints.txt --index-url https://download.pytorch.org/whl/cpu torch

COPY setup.cfg pyproject.toml README.md LICENSE ./
COPY medbundles medbundles
COPY bundles bundles
COPY configs configs
COPY models models
RUN pip install -c constraints.txt '.[openvino]' && rm -rf /source

RUN useradd --create-home --uid 1000 medbundles
USER medbundles
WORKDIR /home/medbundles
ENTRYPOINT ["medbundles"]
CMD ["--help"]
