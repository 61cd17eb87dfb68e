-- +goose Up
ALTER TABLE extents ADD COLUMN verified_ms BIGINT;
