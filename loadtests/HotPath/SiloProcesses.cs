using System.Diagnostics;
using System.Globalization;
using System.Net;
using Fleet.LoadTests.Measuring;
using Fleet.Storage.Cluster;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;

namespace Fleet.LoadTests.HotPath;

/// <summary>Silos in processes of their own on this machine; a client reaches them over loopback TCP.</summary>
internal sealed class SiloProcesses : IAsyncDisposable
{
    private readonly List<Process> _silos = [];
    private IHost? _client;

    public IClusterClient Grains => _client!.Services.GetRequiredService<IClusterClient>();

    public static async Task<SiloProcesses> StartAsync(string run, string folder, int count, CancellationToken ct)
    {
        var started = new SiloProcesses();
        try
        {
            IPEndPoint? first = null;
            var gateways = new List<int>();
            for (var number = 1; number <= count; number++)
            {
                var silo = started.Start(run, Path.Combine(folder, $"{run}.spool", $"{number + 1}"), number, first);
                var ports = await AnswerAsync(silo, ct);
                first ??= IPEndPoint.Parse(ports[0]);
                gateways.Add(IPEndPoint.Parse(ports[1]).Port);
            }

            started._client = await ClientAsync(run, gateways, ct);
            return started;
        }
        catch
        {
            await started.DisposeAsync();
            throw;
        }
    }

    /// <summary>The silos, and where clients connect to them.</summary>
    public async Task<IReadOnlyList<SiloGateway>> GatewaysAsync() =>
    [
        .. (await Grains.GetGrain<IManagementGrain>(0).GetDetailedHosts(onlyActive: true)).Select(silo =>
            new SiloGateway(silo.SiloAddress, new(silo.SiloAddress.Endpoint.Address, silo.ProxyPort))),
    ];

    /// <summary>What the silos used so far, all together.</summary>
    public async Task<Use> UseAsync()
    {
        var sum = default(Use);
        foreach (var silo in _silos)
        {
            await silo.StandardInput.WriteLineAsync("use");
            var answer = await AnswerAsync(silo, CancellationToken.None);
            sum += new Use(
                double.Parse(answer[0], CultureInfo.InvariantCulture),
                long.Parse(answer[1], CultureInfo.InvariantCulture));
        }

        return sum;
    }

    /// <summary>Findings of the silos' online checkers.</summary>
    public Task<long> FindingsAsync() => SumAsync("findings");

    /// <summary>Messages from silo to silo since the last call; counting starts with the first one.</summary>
    public Task<long> HopsAsync() => SumAsync("hops");

    public async ValueTask DisposeAsync()
    {
        if (_client is not null)
        {
            await _client.StopAsync();
            _client.Dispose();
        }

        foreach (var silo in _silos)
        {
            // The end of its input is the end of the silo.
            silo.StandardInput.Close();
            await silo.WaitForExitAsync();
            silo.Dispose();
        }
    }

    private static async Task<IHost> ClientAsync(string run, IEnumerable<int> gateways, CancellationToken ct)
    {
        var builder = Host.CreateEmptyApplicationBuilder(null);
        builder.UseOrleansClient(client => client.UseLocalhostClustering([.. gateways], run, run));
        var host = builder.Build();
        await host.StartAsync(ct);
        return host;
    }

    private async Task<long> SumAsync(string question)
    {
        var sum = 0L;
        foreach (var silo in _silos)
        {
            await silo.StandardInput.WriteLineAsync(question);
            sum += long.Parse((await AnswerAsync(silo, CancellationToken.None))[0], CultureInfo.InvariantCulture);
        }

        return sum;
    }

    private static async Task<string[]> AnswerAsync(Process silo, CancellationToken ct) =>
        (await silo.StandardOutput.ReadLineAsync(ct))?.Split(' ')
        ?? throw new InvalidOperationException("A silo of the benchmark ended.");

    private Process Start(string run, string spool, int number, IPEndPoint? first)
    {
        var isHosted = Environment.ProcessPath is { } host && Path.GetFileNameWithoutExtension(host) == "dotnet";
        var start = new ProcessStartInfo(Environment.ProcessPath!)
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
        };
        if (isHosted)
        {
            start.ArgumentList.Add(typeof(SiloProcesses).Assembly.Location);
        }

        foreach (var argument in new[] { SiloProcess.Name, run, spool, $"{number}", first?.ToString() ?? "" })
        {
            start.ArgumentList.Add(argument);
        }

        var silo = Process.Start(start)!;
        _silos.Add(silo);
        return silo;
    }
}
