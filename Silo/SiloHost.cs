using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Console;

namespace Fleet.Silo;

/// <summary>Builds the host of one silo on loopback.</summary>
internal static class SiloHost
{
    /// <param name="lifetime">Who hears of signals; null for a process of its own, which they stop.</param>
    public static IHost Build(
        EmbeddedFleetOptions options, int siloPort, int gatewayPort, SiloLogGate log, IHostLifetime? lifetime = null)
    {
        var builder = Host.CreateEmptyApplicationBuilder(new HostApplicationBuilderSettings { DisableDefaults = true });
        builder.Logging.AddSimpleConsole(console => console.SingleLine = true);
        builder.Logging.SetMinimumLevel(LogLevel.Warning);
        builder.Logging.AddFilter((category, level) => log.Lets(category, level));

        // Standard output is the caller's: it may be promised to carry one JSON object and nothing else.
        builder.Services.Configure<ConsoleLoggerOptions>(
            console => console.LogToStandardErrorThreshold = LogLevel.Trace);
        builder.UseOrleans(silo =>
        {
            silo.UseLocalhostClustering(siloPort, gatewayPort, null, options.Run, options.Run);
            silo.AddFleet(options);
        });
        if (lifetime is not null)
        {
            builder.Services.AddSingleton(lifetime);
        }

        return builder.Build();
    }
}

/// <summary>Of a silo within another program: signals are that program's.</summary>
internal sealed class GuestLifetime : IHostLifetime
{
    public Task WaitForStartAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;
}

/// <summary>
/// Keeps what is no news out of the log: retries, advice for servers, and the noise of an immediate stop.
/// </summary>
internal sealed class SiloLogGate
{
    public bool IsStopping { get; set; }

    public bool Lets(string? category, LogLevel level) => category switch
    {
        _ when IsStopping => level >= LogLevel.Critical,
        "Polly" or "Orleans.Runtime.Silo" or "Orleans.Runtime.Watchdog" => level >= LogLevel.Error,
        _ => level >= LogLevel.Warning,
    };
}
