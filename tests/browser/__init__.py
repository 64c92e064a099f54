"""Tests in a real JupyterLab in a real Chromium: a package, so that both last as long as its tests."""
