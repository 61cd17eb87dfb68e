-- +goose Up
CREATE UNIQUE INDEX vaults_name ON vaults (account, region, name);
