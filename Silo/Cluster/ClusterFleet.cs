using System.Collections.Concurrent;
using System.Globalization;
using Fleet.Grains;
using Fleet.Silo.Service;
using Fleet.Silo.Tls;
using Fleet.Storage;
using Fleet.Storage.Cluster;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Orleans.Configuration;

namespace Fleet.Silo.Cluster;

/// <summary>The way to a fleet of other processes: an Orleans client that finds its gateways in the database.</summary>
public sealed class ClusterFleet : IAsyncDisposable
{
    private static readonly TimeSpan Look = TimeSpan.FromMilliseconds(100);

    /// <summary>Orleans tries for ever; who is not let in by then never is.</summary>
    private static readonly TimeSpan EnterPatience = TimeSpan.FromSeconds(60);

    private static readonly TimeSpan ReportPatience = TimeSpan.FromSeconds(3);

    /// <summary>A silo that answers none of so many is on its way out; each waits for <see cref="ReportPatience"/>.
    /// </summary>
    private const int SealTriesMax = 5;

    private static readonly TimeSpan ResponseTimeout = TimeSpan.FromSeconds(30);

    private readonly ConcurrentDictionary<string, SiloReport> _reports = new(StringComparer.Ordinal);
    private readonly PostgresCluster _cluster;
    private readonly IHost _host;
    private readonly SiloLogGate _log;

    private ClusterFleet(PostgresCluster cluster, string name, IHost host, SiloLogGate log)
    {
        _cluster = cluster;
        Name = name;
        _host = host;
        _log = log;
        Grains = host.Services.GetRequiredService<IClusterClient>();
    }

    public IClusterClient Grains { get; }

    /// <summary>Of the cluster.</summary>
    public string Name { get; }

    /// <summary>Waits until enough silos serve, and connects.</summary>
    /// <param name="gateways">How often it asks which gateways there are.</param>
    /// <param name="check">Called while it waits; throws when waiting has no sense any more.</param>
    /// <exception cref="StorageException">Too few silos came in time, or none lets this process in.</exception>
    public static async Task<ClusterFleet> ConnectAsync(
        PostgresCluster cluster, string name, int silos, TimeSpan patience, TimeSpan gateways, Action check,
        CancellationToken ct)
    {
        using var timer = new PeriodicTimer(Look);
        var began = TimeProvider.System.GetTimestamp();
        for (int active; (active = (await cluster.SilosAsync()).Count) < silos;)
        {
            check();
            if (TimeProvider.System.GetElapsedTime(began) > patience)
            {
                throw new StorageException(string.Create(
                    CultureInfo.InvariantCulture,
                    $"{active} of {silos} silos of cluster {name} serve after {patience.TotalSeconds:0} s; "
                    + $"Fleet.Silo --cluster {name} --store URL starts one."));
            }

            await timer.WaitForNextTickAsync(ct);
        }

        var log = new SiloLogGate { IsCaller = true };
        var tls = TlsFiles.FromEnvironment();
        var host = Build(name, tls, log, client =>
        {
            cluster.UseGateways(client);
            client.Configure<GatewayOptions>(options => options.GatewayListRefreshPeriod = gateways);
        });
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(ct);
        limit.CancelAfter(EnterPatience);
        try
        {
            await host.StartAsync(limit.Token);
            return new(cluster, name, host, log);
        }
        catch (OperationCanceledException) when (!ct.IsCancellationRequested)
        {
            await SiloHost.DisposeAsync(host);
            throw new StorageException(
                $"No silo of cluster {name} let this process in; accepted: silos that can be reached from here, and "
                + (tls is null ? "where they want TLS FLEET_TLS_CERT, FLEET_TLS_KEY and FLEET_TLS_CA."
                    : "a certificate of their authority, which has to be the one in FLEET_TLS_CA."));
        }
        catch
        {
            await SiloHost.DisposeAsync(host);
            throw;
        }
    }

    /// <summary>A client of a cluster that was not started yet.</summary>
    /// <param name="gateways">Says where its gateways are.</param>
    internal static IHost Build(string name, TlsFiles? tls, SiloLogGate log, Action<IClientBuilder> gateways)
    {
        var builder = SiloHost.QuietBuilder(log);
        builder.Services.CarryFailures();
        builder.UseOrleansClient(client =>
        {
            gateways(client);
            client.Configure<ClusterOptions>(options => (options.ClusterId, options.ServiceId) = (name, name));
            client.Configure<ClientMessagingOptions>(messaging => messaging.ResponseTimeout = ResponseTimeout);
            if (tls is not null)
            {
                client.Services.AddOptions<ClientConnectionOptions>().Configure<ILoggerFactory>(
                    (connections, loggers) =>
                        new MutualTls(tls, loggers.CreateLogger("Fleet.Client.Tls")).Use(connections));
            }
        });
        return builder.Build();
    }

    /// <summary>The silos that clients may connect to now, and where.</summary>
    public Task<IReadOnlyList<SiloGateway>> GatewaysAsync() => _cluster.GatewaysAsync();

    /// <summary>Asks every silo that serves what it did so far.</summary>
    /// <returns>Of each silo, gone ones included, what it said last.</returns>
    public async Task<IReadOnlyList<SiloReport>> ReportsAsync()
    {
        await Task.WhenAll((await _cluster.SilosAsync()).Select(silo => AskAsync(silo, grain => grain.Report())));
        return [.. _reports.Values];
    }

    /// <summary>Closes the run's history at every silo, and asks what each did to the last event.</summary>
    /// <returns>Of each silo, gone ones included, what it said last, and whether nothing came after it.</returns>
    public async Task<IReadOnlyList<(SiloReport Report, bool IsFinal)>> SealAsync()
    {
        var final = new ConcurrentDictionary<string, bool>(StringComparer.Ordinal);
        for (var tries = 0; tries < SealTriesMax; tries++)
        {
            var open = (await _cluster.SilosAsync()).Where(silo => !final.ContainsKey(silo)).ToList();
            if (open.Count == 0)
            {
                break;
            }

            await Task.WhenAll(open.Select(async silo =>
            {
                if (await AskAsync(silo, grain => grain.Seal()))
                {
                    final[silo] = true;
                }
            }));
        }

        return [.. _reports.Select(report => (report.Value, final.ContainsKey(report.Key)))];
    }

    /// <summary>Messages that were struck, by kind, as every silo said last.</summary>
    public IReadOnlyDictionary<string, long> MessageFaults => _reports.Values
        .SelectMany(report => report.MessageFaults).GroupBy(fault => fault.Key, StringComparer.Ordinal)
        .ToDictionary(fault => fault.Key, fault => fault.Sum(one => one.Value), StringComparer.Ordinal);

    private async Task<bool> AskAsync(string silo, Func<ISiloGrain, ValueTask<SiloReport>> ask)
    {
        try
        {
            _reports[silo] = await ask(Grains.GetGrain<ISiloGrain>(silo)).AsTask().WaitAsync(ReportPatience);
            return true;
        }
        catch (Exception e) when (LostCall.Is(e))
        {
            return false; // It died or stands still; what it said before is all there is.
        }
    }

    public async ValueTask DisposeAsync()
    {
        _log.IsStopping = true;
        await SiloHost.EndAsync(_host);
    }
}
