# Fleet.Silo: docker build -f deploy/docker/silo.Dockerfile -t fleet/silo:0.1.0 .
FROM mcr.microsoft.com/dotnet/sdk:10.0.401-noble AS build
WORKDIR /source
COPY Directory.Build.props Directory.Packages.props global.json .editorconfig ./
COPY Kernel/ Kernel/
COPY Protocol/ Protocol/
COPY Checking/ Checking/
COPY Storage/ Storage/
COPY Grains/ Grains/
COPY Silo/ Silo/
# ReadyToRun: a start is half as long (docs/settings.md); what runs for long is compiled again for this machine.
RUN dotnet publish Silo/Silo.csproj --configuration Release --use-current-runtime --self-contained false \
    -p:PublishReadyToRun=true --output /out

FROM mcr.microsoft.com/dotnet/aspnet:10.0.12-noble AS final
LABEL org.opencontainers.image.title="Fleet.Silo"
# Nothing is written but /tmp; a read-only root is fine with a tmpfs there.
WORKDIR /app
COPY --from=build /out/ ./
USER 1654:1654
# Silo, gateway, health.
EXPOSE 11111 30000 8081
ENV FLEET_SILO_PORT=11111 FLEET_GATEWAY_PORT=30000 FLEET_HEALTH_PORT=8081
STOPSIGNAL SIGTERM
ENTRYPOINT ["dotnet", "Fleet.Silo.dll"]
