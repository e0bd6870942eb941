using System.Net;
using System.Text.Json;
using Fleet.Silo.Cluster;
using Fleet.Silo.Health;
using Fleet.Silo.Options;
using Fleet.Silo.Telemetry;
using Fleet.Silo.Tls;
using Fleet.Storage;
using Fleet.Storage.Cluster;
using Fleet.Storage.Results;

namespace Fleet.Silo.Service;

/// <summary>A silo process from its start to its end: what it listens on, what it tells, when it stops.</summary>
internal static class SiloService
{
    private const int Infrastructure = 4;

    /// <summary>Time that an end takes beyond the silo's own leaving: the last rows, listeners, telemetry.</summary>
    private static readonly TimeSpan EndPatience = TimeSpan.FromSeconds(5);

    /// <returns>Once told to stop, or after the one run that it was for.</returns>
    /// <exception cref="StorageException">The store cannot be used.</exception>
    /// <exception cref="SiloConfigurationException">A listener cannot be had.</exception>
    public static async Task RunAsync(SiloSettings settings)
    {
        using var log = new SiloLog(settings.LogForm, settings.LogLevel);
        using var stop = new StopRequest(
            settings.StopPatience + EndPatience, settings.IsChild, () => EndAtLast(settings, log));
        TlsFiles.Of(settings)?.Current();
        WarnOfListeners(settings, log);
        var state = new SiloState(TimeProvider.System);
        using var telemetry = new SiloTelemetry(settings, state);
        try
        {
            await using var health = settings.HealthPort is null
                ? null : await HealthListener.StartAsync(settings, state, log, stop.Token);
            using var ports = PortsFile.Write(settings, health?.Port);
            var address = StoreAddress.Parse(settings.Store);
            await using var store = await ResultStores.OpenAsync(address, stop.Token);
            await using var cluster = await PostgresCluster.OpenAsync(address, settings.Cluster, stop.Token);
            await new ClusterSilo(settings, store, cluster, state, telemetry, log).ServeAsync(stop.Token);
        }
        catch (OperationCanceledException) when (stop.Token.IsCancellationRequested)
        {
            log.Say($"{settings.Name}: told to stop.");
        }
    }

    private static void WarnOfListeners(SiloSettings settings, SiloLog log)
    {
        if (settings.IsInsecure && !settings.HasTls && !IPAddress.IsLoopback(settings.Listen))
        {
            log.Warn(
                $"{settings.Name} listens on {settings.Listen} without mutual TLS (--insecure): whoever reaches "
                + "it can call every grain.");
        }

        if (settings.DashboardPort is not null && !IPAddress.IsLoopback(settings.DashboardListen)
            && (settings.DashboardPasswordFile is null || !settings.HasTls))
        {
            log.Warn(
                $"The dashboard of {settings.Name} listens on {settings.DashboardListen} "
                + (settings.DashboardPasswordFile is null ? "and asks nobody who he is" : "and a password crosses the "
                + "network in clear") + " (--insecure).");
        }
    }

    /// <summary>
    /// Ends the process when leaving takes too long: Orleans goes on trying to write its status to a store that is
    /// gone, whatever its token says, and what had to last was stored before it was answered.
    /// </summary>
    private static void EndAtLast(SiloSettings settings, SiloLog log)
    {
        log.Warn(
            $"{settings.Name}: could not leave within {settings.StopPatience.TotalSeconds:0} s (--stop-patience), "
            + "so it ends without; the other silos find out by themselves.");
        Environment.Exit(Infrastructure);
    }

    /// <summary>Says which process this is and where it listens, for who started it.</summary>
    private sealed class PortsFile(string? path) : IDisposable
    {
        public static PortsFile Write(SiloSettings settings, int? healthPort)
        {
            if (settings.PortsFile is { } path)
            {
                try
                {
                    var written = path + ".part";
                    File.WriteAllText(
                        written,
                        JsonSerializer.Serialize(
                            new SiloPorts(settings.Name, Environment.ProcessId, healthPort), SiloHealth.Json));
                    File.Move(written, path, overwrite: true);
                }
                catch (Exception e) when (e is IOException or UnauthorizedAccessException)
                {
                    throw new SiloConfigurationException(
                        $"--ports-file {path} cannot be written ({e.Message.TrimEnd('.')}); accepted: a path in a "
                        + "directory that is there.");
                }
            }

            return new(settings.PortsFile);
        }

        public void Dispose()
        {
            if (path is not null)
            {
                File.Delete(path);
            }
        }
    }
}

/// <summary>What <c>--ports-file</c> holds.</summary>
/// <param name="HealthPort">Null without that listener.</param>
public sealed record SiloPorts(string Name, int Pid, int? HealthPort);
