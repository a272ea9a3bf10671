# No server: taps of Singer and a source of Airbyte, each with libraries of its own, that nobody here wrote.

install() {
    faker=$(python_tools source-faker) && csv=$(python_tools tap-csv-folder) && rest=$(python_tools tap-rest-api-msdk)
}

start() {
    tell FAKER "$faker/bin/source-faker"
    tell CSV "$csv/bin/tap-csv-folder"
    tell REST "$rest/bin/tap-rest-api-msdk"
}

seed() { :; }
stop() { :; }
