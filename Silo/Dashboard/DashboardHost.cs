using System.Security.Cryptography;
using System.Text;
using Fleet.Silo.Options;
using Fleet.Silo.Service;
using Fleet.Silo.Tls;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Orleans.Dashboard;

namespace Fleet.Silo.Dashboard;

/// <summary>A silo with Orleans' dashboard beside it: a page for people, with its own listener.</summary>
/// <remarks>
/// The dashboard asks nobody who he is, and shows the state of grains. So it is off unless asked for, on loopback
/// unless told otherwise, and behind a password where one is given; <see cref="SiloConfiguration"/> refuses the rest.
/// Its call filter costs each call a little: leave it off where figures are taken.
/// </remarks>
internal static class DashboardHost
{
    private const string User = "fleet";

    public static IHost Build(SiloLogGate log, Action<ISiloBuilder> configure, SiloSettings settings)
    {
        var builder = WebApplication.CreateEmptyBuilder(new());
        SiloLog.Configure(builder.Logging, settings.LogForm, log);
        builder.WebHost.UseKestrelCore().ConfigureKestrel(
            kestrel => kestrel.Listen(
                settings.DashboardListen, settings.DashboardPort!.Value, listener => UseTls(listener, settings)));
        builder.Services.AddRoutingCore();
        builder.Services.AddSingleton<IHostLifetime, GuestLifetime>();
        builder.UseOrleans(silo =>
        {
            configure(silo);
            silo.AddDashboard();
        });
        var app = builder.Build();
        if (settings.DashboardPasswordFile is { } file)
        {
            app.Use(next => context => IsKnown(context.Request, file) ? next(context) : Ask(context.Response));
        }

        app.MapOrleansDashboard();
        return app;
    }

    private static void UseTls(ListenOptions listener, SiloSettings settings)
    {
        if (settings.HasTls)
        {
            listener.UseHttps(TlsFiles.Of(settings)!.Current().Certificate);
        }
    }

    /// <remarks>The file is read each time: a new password needs no restart, and a person's clicks are few.</remarks>
    private static bool IsKnown(HttpRequest request, string passwordFile)
    {
        var wanted = Encoding.UTF8.GetBytes($"{User}:{File.ReadAllText(passwordFile).TrimEnd('\r', '\n')}");
        var header = request.Headers.Authorization.ToString();
        const string Basic = "Basic ";
        var given = new byte[header.Length];
        return header.StartsWith(Basic, StringComparison.OrdinalIgnoreCase)
            && Convert.TryFromBase64String(header[Basic.Length..], given, out var length)
            && CryptographicOperations.FixedTimeEquals(given.AsSpan(0, length), wanted);
    }

    private static Task Ask(HttpResponse response)
    {
        response.StatusCode = StatusCodes.Status401Unauthorized;
        response.Headers.WWWAuthenticate = "Basic realm=\"Fleet\", charset=\"UTF-8\"";
        return Task.CompletedTask;
    }
}
