using System.Net.Security;
using System.Security.Authentication;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.Logging;
using Orleans.Configuration;

namespace Fleet.Silo.Tls;

/// <summary>Mutual TLS under every connection of Orleans: between silos, and between clients and gateways.</summary>
/// <remarks>
/// Both ends show a certificate of the cluster's own authority; who has none is refused before a byte of Orleans'
/// protocol is read. Addresses are not compared with certificates, since silos come and go: the authority is the
/// cluster's border, or <see cref="TlsFiles.Peer"/> narrows it. Revocation lists are not asked; a certificate is taken
/// back by replacing the authority's file.
/// </remarks>
internal sealed class MutualTls(TlsFiles files, ILogger log)
{
    private const string ServerPurpose = "1.3.6.1.5.5.7.3.1";
    private const string ClientPurpose = "1.3.6.1.5.5.7.3.2";

    /// <summary>Who connects and then says nothing holds a socket no longer than this.</summary>
    private static readonly TimeSpan HandshakePatience = TimeSpan.FromSeconds(10);

    public void Use(SiloConnectionOptions connections)
    {
        connections.ConfigureSiloInboundConnection(silo => Accept(silo, "the silo's listener"));
        connections.ConfigureSiloOutboundConnection(silo => Connect(silo, "a silo"));
        connections.ConfigureGatewayInboundConnection(gateway => Accept(gateway, "the gateway"));
    }

    public void Use(ClientConnectionOptions connections) =>
        connections.ConfigureConnection(gateway => Connect(gateway, "a gateway"));

    private void Accept(IConnectionBuilder builder, string listener) => builder.Use(next => connection => RunAsync(
        connection, next, $"Refused {connection.RemoteEndPoint} at {listener}", ClientPurpose,
        (stream, known, ct) => stream.AuthenticateAsServerAsync(
            new SslServerAuthenticationOptions
            {
                ServerCertificateContext = SslStreamCertificateContext.Create(
                    known.Certificate, known.Between, offline: true),
                ClientCertificateRequired = true,
                EnabledSslProtocols = SslProtocols.Tls12 | SslProtocols.Tls13,
                CertificateRevocationCheckMode = X509RevocationMode.NoCheck,
            },
            ct)));

    private void Connect(IConnectionBuilder builder, string peer) => builder.Use(next => connection => RunAsync(
        connection, next, $"No TLS with {peer} at {connection.RemoteEndPoint}", ServerPurpose,
        (stream, known, ct) => stream.AuthenticateAsClientAsync(
            new SslClientAuthenticationOptions
            {
                TargetHost = files.Peer ?? "",
                ClientCertificateContext = SslStreamCertificateContext.Create(
                    known.Certificate, known.Between, offline: true),
                EnabledSslProtocols = SslProtocols.Tls12 | SslProtocols.Tls13,
                CertificateRevocationCheckMode = X509RevocationMode.NoCheck,
            },
            ct)));

    private async Task RunAsync(
        ConnectionContext connection, ConnectionDelegate next, string otherwise, string purpose,
        Func<SslStream, TlsIdentity, CancellationToken, Task> handshake)
    {
        var plain = connection.Transport;
        var refusal = "";
        var known = files.Current();
        await using var stream = new SslStream(
            new DuplexStream(plain), leaveInnerStreamOpen: true,
            (_, certificate, chain, _) => (refusal = Refusal(certificate, chain, known, purpose)).Length == 0);
        using (var patience = CancellationTokenSource.CreateLinkedTokenSource(connection.ConnectionClosed))
        {
            patience.CancelAfter(HandshakePatience);
            try
            {
                await handshake(stream, known, patience.Token);
            }
            catch (Exception e) when (e is AuthenticationException or IOException or OperationCanceledException
                or ObjectDisposedException or ConnectionAbortedException)
            {
                var reason = refusal.Length > 0 ? refusal
                    : e is OperationCanceledException ? "it did not finish the handshake"
                    : $"it does not speak TLS or refuses this end ({(e.InnerException ?? e).Message.TrimEnd('.')})";
                log.LogWarning("{What}: {Reason}.", otherwise, reason);
                connection.Abort(new ConnectionAbortedException($"{otherwise}: {reason}."));
                return;
            }
        }

        connection.Transport = new StreamPipe(stream);
        try
        {
            await next(connection);
        }
        finally
        {
            connection.Transport = plain;
        }
    }

    /// <returns>Why a peer is not believed; empty when it is.</returns>
    private string Refusal(X509Certificate? shown, X509Chain? sent, TlsIdentity known, string purpose)
    {
        if (shown is null)
        {
            return "it showed no certificate";
        }

        using var certificate = X509CertificateLoader.LoadCertificate(shown.GetRawCertData());
        using var chain = new X509Chain();
        chain.ChainPolicy.TrustMode = X509ChainTrustMode.CustomRootTrust;
        chain.ChainPolicy.CustomTrustStore.AddRange(known.Authorities);
        chain.ChainPolicy.RevocationMode = X509RevocationMode.NoCheck;
        chain.ChainPolicy.ApplicationPolicy.Add(new Oid(purpose));
        chain.ChainPolicy.DisableCertificateDownloads = true;
        foreach (var between in sent?.ChainElements.Skip(1).Select(element => element.Certificate) ?? [])
        {
            chain.ChainPolicy.ExtraStore.Add(between);
        }

        return !chain.Build(certificate)
            ? $"its certificate {certificate.Subject} is not one of the authority's "
                + $"({string.Join(", ", chain.ChainStatus.Select(status => status.Status))})"
            : files.Peer is { } peer && !certificate.MatchesHostname(peer, allowWildcards: false)
                ? $"its certificate {certificate.Subject} does not carry the name {peer}"
                : "";
    }
}
