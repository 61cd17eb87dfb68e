-- +goose Up
DROP TABLE extents;
