using System.Net;
using Microsoft.Extensions.Logging;

namespace Fleet.Silo.Options;

/// <summary>What a silo process is told; <see cref="SiloOptionTable"/> says how, and with which default.</summary>
internal sealed record SiloSettings
{
    public string Cluster { get; init; } = "";

    /// <summary>Address of the PostgreSQL store, with its password where it holds one: never printed.</summary>
    public string Store { get; init; } = "";

    public string Name { get; init; } = "silo-1";

    public IPAddress Listen { get; init; } = IPAddress.Loopback;

    /// <summary>What others connect to; null for <see cref="Listen"/>.</summary>
    public IPAddress? Advertise { get; init; }

    /// <summary>0 takes a free one, and so for the gateway's.</summary>
    public int SiloPort { get; init; }

    public int GatewayPort { get; init; }

    /// <summary>Null for no listener; 0 takes a free one.</summary>
    public int? HealthPort { get; init; }

    public IPAddress HealthListen { get; init; } = IPAddress.Loopback;

    /// <summary>Null for no dashboard.</summary>
    public int? DashboardPort { get; init; }

    public IPAddress DashboardListen { get; init; } = IPAddress.Loopback;

    public string? DashboardPasswordFile { get; init; }

    public string? TlsCert { get; init; }

    public string? TlsKey { get; init; }

    public string? TlsCa { get; init; }

    public string? TlsPeer { get; init; }

    /// <summary>Listeners that others reach may do without mutual TLS.</summary>
    public bool IsInsecure { get; init; }

    /// <summary>Null exports nothing.</summary>
    public Uri? Otlp { get; init; }

    public OtlpForm OtlpForm { get; init; } = OtlpForm.Http;

    /// <summary>Of calls, from 0 to 1.</summary>
    public double TraceShare { get; init; } = 0.01;

    public LogForm LogForm { get; init; } = LogForm.Text;

    public LogLevel LogLevel { get; init; } = LogLevel.Warning;

    /// <summary>How long a graceful leave may take.</summary>
    public TimeSpan StopPatience { get; init; } = TimeSpan.FromSeconds(10);

    public string? PortsFile { get; init; }

    /// <summary>Ends after the first run.</summary>
    public bool IsOnce { get; init; }

    /// <summary>Ends when standard input does, so that it never outlives who started it.</summary>
    public bool IsChild { get; init; }

    /// <summary>All three files are given; <see cref="SiloOptionTable"/> refuses some of them.</summary>
    public bool HasTls => TlsCert is not null;
}

internal enum OtlpForm
{
    Http,
    Grpc,
}

internal enum LogForm
{
    Text,
    Json,
}
