# Verbs over bin/; `make` alone lists them.
.PHONY: help run test lint format bench soak up down
PORT ?= 8000

help:          ## list the verbs
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1\t\2/p' $(MAKEFILE_LIST)

run:           ## start everything in one process (PORT=8000)
	bin/run --port $(PORT)

test:          ## lint and all tests (ARGS="-k journal" go to pytest)
	bin/test $(ARGS)

lint:          ## ruff, formatting, mypy, import contracts
	bin/lint

format:        ## rewrite the code the way `make lint` wants it
	.venv/bin/ruff check --fix --quiet .
	.venv/bin/ruff format --quiet .

bench:         ## the two benchmarks of the data path
	bin/bench parse
	bin/bench pipeline --rate 30000 --seconds 30

soak:          ## ten minutes of the whole system under seeded faults (ARGS="--minutes 60")
	bin/soak $(ARGS)

up:            ## the distributed setting with Docker Compose
	docker compose --file docker/compose.yaml up --build

down:          ## end it; the data stays in its volumes
	docker compose --file docker/compose.yaml down
