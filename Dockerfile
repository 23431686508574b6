# Serves an exported model on port 8501, without a GPU:
#   docker build -t alexnet_tf .
#   docker run -p 8501:8501 -v "$PWD/models/shapes:/model:ro" alexnet_tf
# docs/serving.md has the flags, which may follow the name of the image, and the limits.
FROM python:3.12-slim
COPY setup.py pyproject.toml README.md LICENSE /source/
COPY alexnet_tf /source/alexnet_tf
COPY configs /source/configs
RUN pip install --no-cache-dir '/source[serve]' && useradd --create-home server
USER server
WORKDIR /home/server
EXPOSE 8501
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s --retries=3 \
  CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8501/healthz', timeout=4)"]
ENTRYPOINT ["python", "-m", "alexnet_tf.serve", "--saved_model=/model", "--host=0.0.0.0"]
