"""The demo: real photographs and real models that come with packages, no download site."""
