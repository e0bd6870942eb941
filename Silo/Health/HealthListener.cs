using System.Text.Json;
using Fleet.Grains;
using Fleet.Silo.Options;
using Fleet.Silo.Service;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Orleans.Runtime;

namespace Fleet.Silo.Health;

/// <summary>Answers <c>/healthz</c>, <c>/readyz</c> and <c>/status</c> as long as the process lives.</summary>
internal sealed class HealthListener : IAsyncDisposable
{
    private static readonly TimeSpan AskPatience = TimeSpan.FromSeconds(2);

    private readonly WebApplication _app;

    private HealthListener(WebApplication app) => _app = app;

    public int Port => new Uri(_app.Urls.First()).Port;

    public static async Task<HealthListener> StartAsync(
        SiloSettings settings, SiloState state, SiloLog log, CancellationToken ct)
    {
        var builder = WebApplication.CreateEmptyBuilder(new());
        SiloLog.Configure(builder.Logging, settings.LogForm, log.Gate);
        builder.WebHost.UseKestrelCore().ConfigureKestrel(kestrel =>
        {
            kestrel.AddServerHeader = false;
            kestrel.Listen(settings.HealthListen, settings.HealthPort!.Value);
        });
        builder.Services.AddSingleton<IHostLifetime, GuestLifetime>();
        var app = builder.Build();
        app.Run(context => AnswerAsync(context, settings, state));
        try
        {
            await app.StartAsync(ct);
            return new(app);
        }
        catch (IOException e)
        {
            await app.DisposeAsync();
            throw new SiloConfigurationException(
                $"--health-port {settings.HealthPort} on {settings.HealthListen} cannot be listened on "
                + $"({e.Message.TrimEnd('.')}); accepted: a port and an address of this machine that are free.");
        }
        catch
        {
            await app.DisposeAsync();
            throw;
        }
    }

    public async ValueTask DisposeAsync()
    {
        await _app.StopAsync(new CancellationToken(canceled: true));
        await _app.DisposeAsync();
    }

    private static async Task AnswerAsync(HttpContext context, SiloSettings settings, SiloState state)
    {
        var (code, text) = context.Request.Path.Value switch
        {
            "/healthz" => state.IsAlive ? (200, "alive") : (503, "the silo makes no progress"),
            "/readyz" => state.NotReadyBecause is { } reason ? (503, reason) : (200, "ready"),
            "/status" => (200, JsonSerializer.Serialize(await StatusAsync(settings, state), SiloHealth.Json)),
            _ => (404, "accepted: /healthz, /readyz, /status"),
        };
        context.Response.StatusCode = code;
        context.Response.ContentType = text.StartsWith('{') ? "application/json" : "text/plain; charset=utf-8";
        await context.Response.WriteAsync(text + "\n", context.RequestAborted);
    }

    private static async Task<SiloHealth> StatusAsync(SiloSettings settings, SiloState state)
    {
        var now = state.Now;
        var details = now.Services?.GetRequiredService<ILocalSiloDetails>();
        int? activations = null;
        if (details is not null && state.NotReadyBecause is null)
        {
            try
            {
                var management = now.Services!.GetRequiredService<IGrainFactory>().GetGrain<IManagementGrain>(0);
                activations = (await management.GetRuntimeStatistics([details.SiloAddress]).WaitAsync(AskPatience))
                    .Sum(one => one.ActivationCount);
            }
            catch (Exception e) when (e is ObjectDisposedException or InvalidOperationException || LostCall.Is(e))
            {
                // The silo is leaving while it is asked: the answer says so by having no number.
                activations = null;
            }
        }

        return new(
            settings.Name, settings.Cluster, Environment.ProcessId, now.Phase.ToString().ToLowerInvariant(), now.Run,
            now.Proc, details?.SiloAddress.ToParsableString(), details?.GatewayAddress?.Endpoint.ToString(),
            activations, now.Report?.Invoke().EventsCommitted, state.StoreAnswers);
    }
}

/// <summary>What <c>/status</c> answers.</summary>
/// <param name="Proc">Number of the process in the run; 0 without one.</param>
/// <param name="Activations">Null while the silo cannot be asked.</param>
/// <param name="EventsCommitted">Lifecycle events of the run that this silo made durable.</param>
public sealed record SiloHealth(
    string Name, string Cluster, int Pid, string State, string? Run, int Proc, string? Silo, string? Gateway,
    int? Activations, long? EventsCommitted, bool StoreAnswers)
{
    public static readonly JsonSerializerOptions Json = new(JsonSerializerDefaults.Web);
}
