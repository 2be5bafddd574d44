#!/bin/sh
# Runs once, when the database volume is empty (the image's initdb hook).
#
# Countersign never logs in as the superuser. It owns its database and may create its two
# restricted roles (the migrations do that and say what they may see), nothing else.
set -eu

: "${COUNTERSIGN_DB_PASSWORD:?set COUNTERSIGN_DB_PASSWORD in .env}"

psql --no-psqlrc --set=ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname postgres <<'SQL'
-- Read from the environment by psql itself: a password on a command line shows in the process list.
\getenv password COUNTERSIGN_DB_PASSWORD
CREATE ROLE countersign LOGIN PASSWORD :'password'
    NOSUPERUSER NOBYPASSRLS NOCREATEDB CREATEROLE NOREPLICATION;
-- A role it creates is one it may switch to; without this PostgreSQL 16 and later only lets it
-- administer the role.
ALTER ROLE countersign SET createrole_self_grant = 'set';
CREATE DATABASE countersign OWNER countersign ENCODING 'UTF8' TEMPLATE template0;
REVOKE ALL ON DATABASE countersign FROM PUBLIC;
-- pgvector is not a trusted extension: only a superuser can install it.
\connect countersign
CREATE EXTENSION IF NOT EXISTS vector;
ALTER SCHEMA public OWNER TO countersign;
SQL
