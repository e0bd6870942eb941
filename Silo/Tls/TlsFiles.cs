using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Fleet.Silo.Options;

namespace Fleet.Silo.Tls;

/// <summary>The files that say who this process is and whom it believes.</summary>
/// <param name="cert">PEM; certificates between it and the authority may follow.</param>
/// <param name="peer">DNS name that a peer's certificate must carry; null for any of the authority.</param>
public sealed class TlsFiles(string cert, string key, string ca, string? peer)
{
    private readonly Lock _gate = new();
    private (DateTime Written, TlsIdentity Identity)? _read;

    public string Cert => cert;

    public string Key => key;

    public string Ca => ca;

    public string? Peer => peer;

    /// <summary>What the variables of a silo's options name, for a client of the cluster; null where none is
    /// set.</summary>
    /// <exception cref="TlsFilesException">Some are set and some are not, or a file cannot be used.</exception>
    public static TlsFiles? FromEnvironment()
    {
        var (own, secret, authority) = (Variable("CERT"), Variable("KEY"), Variable("CA"));
        if (own is null && secret is null && authority is null)
        {
            return null;
        }

        if (own is null || secret is null || authority is null)
        {
            throw new TlsFilesException(
                "TLS needs FLEET_TLS_CERT, FLEET_TLS_KEY and FLEET_TLS_CA, and some of them are not set; accepted: all "
                + "three, or none.");
        }

        var files = new TlsFiles(own, secret, authority, Variable("PEER"));
        files.Current();
        return files;

        static string? Variable(string name) =>
            Environment.GetEnvironmentVariable($"FLEET_TLS_{name}") is { Length: > 0 } value ? value : null;
    }

    internal static TlsFiles? Of(SiloSettings settings) => settings.HasTls
        ? new(settings.TlsCert!, settings.TlsKey!, settings.TlsCa!, settings.TlsPeer) : null;

    /// <summary>What the files hold now: they are read again once they changed, so that a renewed certificate needs no
    /// restart.</summary>
    /// <exception cref="TlsFilesException">A file cannot be used.</exception>
    public TlsIdentity Current()
    {
        lock (_gate)
        {
            var written = new[] { Cert, Key, Ca }.Max(File.GetLastWriteTimeUtc);
            if (_read is { } known && known.Written == written)
            {
                return known.Identity;
            }

            try
            {
                _read = (written, TlsIdentity.Read(this));
            }
            catch (TlsFilesException) when (_read is not null)
            {
                // A renewal that is half written: the old certificate is good until the next look.
                return _read.Value.Identity;
            }

            return _read.Value.Identity;
        }
    }
}

/// <summary>A file of TLS cannot be used; one sentence.</summary>
public sealed class TlsFilesException(string message) : Exception(message);

/// <summary>A certificate with its key, and the authority that peers must come from.</summary>
public sealed record TlsIdentity(
    X509Certificate2 Certificate, X509Certificate2Collection Between, X509Certificate2Collection Authorities)
{
    internal static TlsIdentity Read(TlsFiles files)
    {
        try
        {
            using var read = X509Certificate2.CreateFromPemFile(files.Cert, files.Key);
            var chain = new X509Certificate2Collection();
            chain.ImportFromPemFile(files.Cert);
            var authorities = new X509Certificate2Collection();
            authorities.ImportFromPemFile(files.Ca);
            return authorities.Count == 0
                ? throw new TlsFilesException($"{files.Ca} holds no certificate; accepted: PEM of the authority.")
                : new(
                    // Some platforms refuse a key that was never in a store of keys.
                    X509CertificateLoader.LoadPkcs12(read.Export(X509ContentType.Pfx), null),
                    [.. chain.Skip(1)], authorities);
        }
        catch (Exception e) when (e is CryptographicException or IOException or UnauthorizedAccessException
            or ArgumentException)
        {
            throw new TlsFilesException(
                $"{files.Cert}, {files.Key} and {files.Ca} are no certificate, key and authority that fit: "
                + $"{e.Message.TrimEnd('.')}; accepted: PEM files.");
        }
    }
}
