# fleet, the generator and every other command: docker build -f deploy/docker/client.Dockerfile -t fleet/client:0.1.0 .
FROM mcr.microsoft.com/dotnet/sdk:10.0.401-noble AS build
WORKDIR /source
COPY Directory.Build.props Directory.Packages.props global.json .editorconfig ./
COPY Kernel/ Kernel/
COPY Protocol/ Protocol/
COPY Checking/ Checking/
COPY Simulation/ Simulation/
COPY Storage/ Storage/
COPY Grains/ Grains/
COPY Silo/ Silo/
COPY Client/ Client/
COPY loadtests/scenarios/ loadtests/scenarios/
# ReadyToRun: a start is half as long (docs/settings.md); what runs for long is compiled again for this machine.
RUN dotnet publish Client/Client.csproj --configuration Release --use-current-runtime --self-contained false \
    -p:PublishReadyToRun=true --output /out

FROM mcr.microsoft.com/dotnet/aspnet:10.0.12-noble AS final
LABEL org.opencontainers.image.title="fleet"
COPY --from=build /out/ /app/
# Spools and result files go below the working directory: mount something there that outlives the container.
RUN mkdir -p /var/lib/fleet && chown 1654:1654 /var/lib/fleet
WORKDIR /var/lib/fleet
VOLUME ["/var/lib/fleet"]
USER 1654:1654
STOPSIGNAL SIGINT
ENTRYPOINT ["dotnet", "/app/fleet.dll"]
