"""Build the image, and run the processes of docker-compose.yml from it (`make image`)."""
